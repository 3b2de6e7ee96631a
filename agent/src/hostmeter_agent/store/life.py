"""A state directory that was set back while the machine ran on: what was stored last is remembered
outside of it, for as long as the machine is up.

The kernel's counters know nothing of the backup. Counted on from its older baseline, what was
delivered in the meantime would count twice.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hostmeter_agent.measure import baseline as baselines

log = logging.getLogger("hostmeter_agent")

_DEFAULT: Final = Path("/run/hostmeter-agent")


def runtime_directory() -> Path | None:
    """Where files live as long as the machine is up: systemd's directory for the service, or, for
    root, the usual one; None where there is none."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    return _DEFAULT if os.geteuid() == 0 else None


@dataclass(slots=True)
class Mark:
    """The newest baseline of one enrolment, outside of the state directory. What it cannot write
    it leaves: then a state that is set back is not noticed, and nothing else is amiss."""

    path: Path | None
    _failed: bool = False

    @classmethod
    def of(cls, epoch: str, directory: Path | None) -> "Mark":
        return cls(None if directory is None else directory / f"baseline-{epoch}")

    def set(self, stored: bytes) -> None:
        """Remember what has just been stored; afterwards, so it is never ahead of the spool."""
        if self.path is None or self._failed:
            return
        draft = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(stored)
            draft.replace(self.path)
        except OSError as error:
            self._failed = True
            log.info("a state that is set back will not be noticed: %s: %s", draft, error.strerror)

    def newer(self, stored: bytes | None) -> bytes | None:
        """The baseline to go on from: the spool's, or the mark's where that is later in the same
        boot."""
        marked = self._read()
        if marked is None:
            return stored
        mark, own = _decoded(marked), _decoded(stored)
        if mark is None or (own is not None and own.boot_id != mark.boot_id):
            return stored
        if own is not None and own.at_boot_ms >= mark.at_boot_ms:
            return stored
        log.warning("the state directory was set back: counting goes on from what was stored last")
        return marked

    def _read(self) -> bytes | None:
        try:
            return None if self.path is None else self.path.read_bytes()
        except OSError:
            return None  # none was left, or the machine has been down


def _decoded(body: bytes | None) -> "baselines.Baseline | None":
    try:
        return None if body is None else baselines.decode(body)
    except (ValueError, KeyError, TypeError):
        return None
