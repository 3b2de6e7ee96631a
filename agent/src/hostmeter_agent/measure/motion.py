"""Which processes have run since they were last looked at.

The kernel counts for each task how long and how often it was on a processor
(/proc/PID/schedstat). Where both figures stand still, the task executed nothing: no system call,
no page fault, no child waited for. What it shows in the other files, all of which are dearer to
read, is what it showed before.
"""

import os
import resource
from typing import Final

from hostmeter_agent.measure.proc import ProcFs

_BYTES: Final = 64
_FOLLOWED_MAX: Final = 2_048
"""Each is a descriptor of ours and about 6 kB of the kernel's memory."""
_DESCRIPTORS_SPARE: Final = 256


class Motion:
    """Keeps the file of each followed process open: a descriptor names one process for good, so
    that a number which is used again cannot be mistaken for its former process."""

    def __init__(self, proc: ProcFs) -> None:
        self._files: dict[int, int] = {}
        self._last: dict[int, bytes] = {}
        self._proc = proc
        self._room = _room() if proc.tells_running else 0

    def __del__(self) -> None:
        """A scanner that is given up takes no descriptors with it."""
        self.keep_only(frozenset())

    def may_have_run(self, pid: int) -> bool:
        """False: it has executed nothing since the last call. Not followed, gone, or another
        process under its number: True."""
        file = self._files.get(pid)
        if file is None:
            return True
        try:
            now = os.pread(file, _BYTES, 0)
        except OSError:
            self.forget(pid)
            return True
        if now == self._last[pid]:
            return False
        self._last[pid] = now
        return True

    def follow(self, pid: int) -> None:
        """From this moment on. A process of several threads is not to be followed: its file tells
        of the first one only."""
        if pid in self._files or len(self._files) >= self._room:
            return
        try:
            file = self._proc.open(f"{pid}/schedstat")
        except OSError:
            return
        self._files[pid] = file
        try:
            self._last[pid] = os.pread(file, _BYTES, 0)
        except OSError:
            self.forget(pid)

    def forget(self, pid: int) -> None:
        file = self._files.pop(pid, None)
        self._last.pop(pid, None)
        if file is not None:
            os.close(file)

    def keep_only(self, pids: "dict[int, object] | frozenset[int]") -> None:
        """Let go of the processes that have gone."""
        for pid in [pid for pid in self._files if pid not in pids]:
            self.forget(pid)


def _room() -> int:
    """How many descriptors may be kept; the soft limit is raised where it is lower than needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FOLLOWED_MAX + _DESCRIPTORS_SPARE
    if 0 <= soft < wanted:
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(_FOLLOWED_MAX, max(soft - _DESCRIPTORS_SPARE, 0)) if soft >= 0 else _FOLLOWED_MAX
