"""Files as another user would make, open and remove them, while the process keeps its rights.

What root does in a directory that another user owns may meet links which that user has put there.
Done as that user, it can change nothing that the user could not change alone.
"""

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hostmeter_agent.errors import AgentError

_ASK: Final = -1
"""No id: setfsuid(2) and setfsgid(2) change nothing and answer what is set."""

_CAPABILITIES_VERSION: Final = 0x20080522
_DAC_READ_SEARCH: Final = 1 << 2
"""The agent's user has it as well: a bpffs is closed to all but root."""


class IdentityRefused(AgentError):
    """The kernel does not let this process act as that user."""


@contextmanager
def files_as(uid: int, gid: int) -> Iterator[None]:
    """Let this thread's file accesses be that user's; root's overriding of permissions pauses.

    Raises IdentityRefused.
    """
    libc = ctypes.CDLL(None)
    former_gid, former_uid = libc.setfsgid(gid), libc.setfsuid(uid)
    try:
        if (libc.setfsgid(_ASK), libc.setfsuid(_ASK)) != (gid, uid):
            raise IdentityRefused(f"files cannot be made as user {uid}: needs root")
        _read_and_search(libc)
        yield
    finally:
        libc.setfsuid(former_uid)
        libc.setfsgid(former_gid)


def _read_and_search(libc: ctypes.CDLL) -> None:
    """Take one right up again that was let go of with root's file identity."""
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0))
    sets = ctypes.create_string_buffer(24)
    libc.capget(head, sets)
    effective, *rest = struct.unpack("=6I", sets.raw[:24])
    sets = ctypes.create_string_buffer(struct.pack("=6I", effective | _DAC_READ_SEARCH, *rest))
    if libc.capset(head, sets):
        raise IdentityRefused("CAP_DAC_READ_SEARCH is needed")
