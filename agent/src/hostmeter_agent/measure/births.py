"""Which processes have begun since one last looked, without listing all of them.

The kernel hands out numbers in ascending order and tells the last one (/proc/loadavg). Where it
stands still, nothing has begun; where it has moved a little, only the numbers in between are
looked at. Threads take numbers, too.
"""

import os
from typing import Final

from hostmeter_agent.measure.proc import ProcFs

_TRIED_MAX: Final = 200
"""Beyond that a listing is cheaper."""
_READ_BYTES: Final = 128


class Births:
    """Remembers the last number at each look."""

    def __init__(self, proc: ProcFs) -> None:
        self._proc = proc
        self._file = _load_average(proc)
        self._last: int | None = None

    def everyone(self) -> list[int]:
        """All processes, lowest number first."""
        self._last = self._last_number()  # before the listing: none may fall in between
        return self._proc.pids()

    def since_last(self) -> list[int]:
        """Numbers of those that have begun since the last call, and maybe of others, of threads and
        of none."""
        before, now = self._last, self._last_number()
        self._last = now
        if before is None or now is None or not 0 <= now - before <= _TRIED_MAX:
            return self._proc.pids()
        return list(range(before + 1, now + 1))

    def _last_number(self) -> int | None:
        if self._file is None:
            return None
        try:
            return int(os.pread(self._file, _READ_BYTES, 0).split()[4])
        except (OSError, ValueError, IndexError):
            return None


def _load_average(proc: ProcFs) -> int | None:
    """Its descriptor; None where there is none, or where this /proc is of another namespace of
    process numbers than ours, to which the figure belongs."""
    try:
        ours = os.readlink(f"{proc.root}/self") == str(os.getpid())
        return proc.open("loadavg") if ours else None
    except OSError:
        return None
