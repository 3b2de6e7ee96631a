"""Control groups by the number that the kernel gives them: the inode of the directory."""

import os
from pathlib import Path
from typing import Final

_DIRECTORIES_MAX: Final = 50_000


class CgroupIds:
    """The directories of one cgroup2 mount. Numbers are never used twice between two boots."""

    def __init__(self, mount: Path) -> None:
        self._mount = str(mount)
        self._paths: dict[int, str] = {}
        self._gone: set[int] = set()

    def inode(self, path: str) -> int | None:
        """path: from the hierarchy's root, as in /proc/PID/cgroup."""
        try:
            return os.stat(f"{self._mount}/{path.lstrip('/')}").st_ino
        except OSError:
            return None

    def is_populated(self, path: str) -> bool:
        """Whether a process is in the group or below it."""
        name = f"{self._mount}/{path.lstrip('/')}/cgroup.events"
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return b"populated 1" in os.read(descriptor, 256)
        finally:
            os.close(descriptor)

    def paths(self, numbers: set[int]) -> dict[int, str]:
        """The path of each that still exists. The tree is walked only for one not seen before."""
        known = {n: self._paths[n] for n in numbers if self._is_there(n)}
        missing = numbers - known.keys() - self._gone
        if missing:
            self._paths = self._walk()
            known.update((n, self._paths[n]) for n in missing if n in self._paths)
            self._gone |= missing - known.keys()
        self._gone &= numbers
        return known

    def _is_there(self, number: int) -> bool:
        path = self._paths.get(number)
        return path is not None and self.inode(path) == number

    def _walk(self) -> dict[int, str]:
        found: dict[int, str] = {}
        waiting = [""]
        while waiting and len(found) < _DIRECTORIES_MAX:
            path = waiting.pop()
            number = self.inode(path)
            if number is None:
                continue  # gone since its parent was listed
            found[number] = path or "/"
            try:
                with os.scandir(f"{self._mount}{path}") as entries:
                    waiting += [f"{path}/{e.name}" for e in entries if e.is_dir()]
            except OSError:
                continue
        return found
