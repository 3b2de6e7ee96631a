"""Which machine a state directory belongs to: one that was copied is noticed at its first start."""

import logging
import uuid
from pathlib import Path
from typing import Final

from hostmeter_agent.server.delivery import seal_next
from hostmeter_agent.store.spool import Spool

log = logging.getLogger("hostmeter_agent")

NOTE: Final = "machine"
_MACHINE_ID_FILES: Final = (
    Path("/etc/machine-id"),
    Path("/var/lib/dbus/machine-id"),
    Path("/sys/class/dmi/id/product_uuid"),
)


def this_machine() -> str:
    """What tells this machine from a copy of its disk; "" where nothing does.

    Images are often copied with their machine-id, so the hardware's own number counts as well.
    """
    found = []
    for path in _MACHINE_ID_FILES:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = ""  # not there, or not for us to read: the other files tell
        found.append(text[:64])
    return "/".join(found) if any(found) else ""


def beware_of_copies(spool: Spool, machine: str, *, now: float) -> bool:
    """Begin a new epoch where the state was made on another machine; whether that is so.

    What waits in the spool was measured there. It is sealed under the epoch of that machine: where
    that one delivers it too, the server says so and keeps it once.
    """
    if not machine:
        return False
    note = spool.note(NOTE)
    if note is None or note["machine"] == machine:
        if note is None:
            spool.take_notes({NOTE: {"machine": machine}})
        return False
    while seal_next(spool, now):
        pass
    epoch = str(uuid.uuid4())
    spool.begin_epoch(epoch)
    spool.take_notes({NOTE: {"machine": machine}})
    log.warning(
        "this state directory was made on another machine: what is measured here is numbered under"
        " a new epoch, %s. If that machine runs on, enrol this one anew (enrol --force)", epoch,
    )  # fmt: skip
    return True
