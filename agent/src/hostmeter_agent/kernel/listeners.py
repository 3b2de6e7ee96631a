"""Which process holds a listening socket, found among the descriptors of processes and kept."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from hostmeter_agent.measure.readings import ProcessKey, Reading

_LINKS_MAX: Final = 2_000
"""Descriptors looked at in one scan, about 6 ms; the rest of the processes come with the next."""
_DESCRIPTORS_MAX: Final = 4_000
"""Of one process."""
_LISTENERS_MAX: Final = 4_096
_VANISHED: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


class _Place(NamedTuple):
    """A descriptor of a process."""

    pid: int
    descriptor: str


class Holders:
    """Processes by the inodes of the listening sockets that they hold.

    Of several the youngest stands for all: a service that was handed its socket, not systemd.
    """

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._places: dict[int, _Place] = {}
        self._wanted: frozenset[int] = frozenset()
        self._looked_at: set[ProcessKey] = set()

    def find(self, inodes: Iterable[int], processes: Mapping[int, Reading]) -> dict[int, int]:
        """By inode, the process, as far as it is found yet. No descriptor is looked at of a process
        that was, as long as no other socket is asked for."""
        asked = sorted(inodes)[:_LISTENERS_MAX]
        self._places = {i: p for i in asked if (p := self._places.get(i)) and self._holds(p, i)}
        wanted = frozenset(asked) - self._places.keys()
        if wanted - self._wanted:
            self._looked_at.clear()
        self._wanted = wanted
        if wanted:
            self._search(set(wanted), processes)
        return {inode: place.pid for inode, place in self._places.items()}

    def _holds(self, place: _Place, inode: int) -> bool:
        try:
            return os.readlink(self._folder(place.pid) / place.descriptor) == _link_of(inode)
        except _VANISHED:
            return False

    def _folder(self, pid: int) -> Path:
        return self._proc / str(pid) / "fd"

    def _search(self, wanted: set[int], processes: Mapping[int, Reading]) -> None:
        links = {_link_of(inode): inode for inode in wanted}
        self._looked_at &= {reading.key for reading in processes.values()}
        left = _LINKS_MAX
        for reading in sorted(processes.values(), key=_start, reverse=True):
            if not links or left <= 0:
                return
            if reading.key not in self._looked_at:
                self._looked_at.add(reading.key)
                left -= self._look_at(reading.pid, links)

    def _look_at(self, pid: int, links: dict[str, int]) -> int:
        """Take the sockets that it holds out of `links`; the number of descriptors looked at."""
        try:
            folder = os.open(self._folder(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except _VANISHED:
            return 1
        try:
            names = os.listdir(folder)[:_DESCRIPTORS_MAX]
            for name in names:
                try:
                    inode = links.pop(os.readlink(name, dir_fd=folder), None)
                except _VANISHED:
                    continue  # closed since the listing
                if inode is not None:
                    self._places[inode] = _Place(pid, name)
        except _VANISHED:
            return 1
        finally:
            os.close(folder)
        return 1 + len(names)


def _start(reading: Reading) -> tuple[int, int]:
    return reading.start, reading.pid


def _link_of(inode: int) -> str:
    return f"socket:[{inode}]"
