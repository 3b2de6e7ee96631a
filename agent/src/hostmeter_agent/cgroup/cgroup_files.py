"""What the kernel's cgroup files count, of both versions and of machines that mix them."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hostmeter_agent.cgroup.cgroups import UNIFIED

_READ_BYTES: Final = 65_536
_CHILDREN_MAX: Final = 10_000
ALL_HIERARCHIES: Final = frozenset({UNIFIED, "cpuacct", "memory", "pids"})


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where the hierarchies are mounted; None for one that is not."""

    unified: Path | None
    cpuacct: Path | None
    memory: Path | None
    pids: Path | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """What a cgroup counts, all cgroups below it included. None: not counted or not readable here.

    memory_bytes: without inactive file pages, of which there are inactive_bytes; the peaks are
    since the cgroup was made, that of memory with file pages; tasks: threads, not processes;
    disk_bytes: (read, written).
    """

    inode: int
    cpu_us: int | None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    inactive_bytes: int = 0
    tasks: int | None = None
    tasks_peak: int | None = None
    disk_bytes: tuple[int, int] | None = None
    version: int = 2
    """Of the hierarchy that counts its CPU time."""


def parse_mounts(text: str) -> Mounts:
    """The cgroup hierarchies in /proc/self/mounts, each where it was mounted first."""
    found: dict[str, Path] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        if words[2] == "cgroup2":
            found.setdefault(UNIFIED, Path(words[1]))
        elif words[2] == "cgroup":
            for option in words[3].split(","):
                found.setdefault(option, Path(words[1]))
    return Mounts(found.get(UNIFIED), found.get("cpuacct"), found.get("memory"), found.get("pids"))


def read_file(path: str) -> bytes | None:
    """Up to 64 KiB of a file; None when it is not there or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return None  # a cgroup that is being removed
    finally:
        os.close(descriptor)


def _number(path: str) -> int | None:
    data = read_file(path)
    return int(data) if data is not None and data.strip().isdigit() else None


def _keyed(path: str, key: bytes) -> int | None:
    """The value of `key` in a file of lines "key value"."""
    data = read_file(path)
    if data is None:
        return None
    at = 0 if data.startswith(key + b" ") else data.find(b"\n" + key + b" ") + 1
    if not at and not data.startswith(key + b" "):
        return None
    end = data.find(b"\n", at)
    return int(data[at + len(key) + 1 : end if end >= 0 else len(data)])


class CgroupFs:
    """The cgroup files of one host."""

    def __init__(self, mounts: Mounts, devices: Path = Path("/sys/dev/block")) -> None:
        """devices: where block devices are told, by "major:minor"."""
        self.mounts = mounts
        self._devices = devices
        self._stacked: dict[bytes, bool] = {}
        self._unified_controllers = self._controllers()

    def _controllers(self) -> frozenset[str]:
        """What the unified hierarchy can count beside CPU time; the rest need not be looked for."""
        data = read_file(f"{self.mounts.unified}/cgroup.controllers")
        return frozenset(("memory", "pids", "io") if data is None else data.decode().split())

    def _at(self, mount: Path | None, path: str) -> str | None:
        return f"{mount}{path}" if mount is not None else None

    def home(self, path: str) -> str | None:
        """The folder that counts the CPU time of the cgroup at `path`; None when it has gone."""
        for mount in (self.mounts.unified, self.mounts.cpuacct):
            folder = self._at(mount, path)
            if folder is not None and os.path.isdir(folder):
                return folder
        return None

    def children(self, path: str) -> list[str]:
        """The paths of the cgroups in the one at `path`."""
        folder = self.home(path)
        if folder is None:
            return []
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        above = path.rstrip("/")
        return [f"{above}/{name}" for name in names[:_CHILDREN_MAX]]

    def is_inhabited(self, path: str) -> bool:
        """Whether processes are in the cgroup itself, not below it."""
        folder = self.home(path)
        return folder is not None and bool(read_file(f"{folder}/cgroup.procs"))

    def cpu(self, path: str, hierarchies: Collection[str] = ALL_HIERARCHIES) -> Counters | None:
        """The identity and the CPU time alone; None when the cgroup has gone."""
        for name, mount in ((UNIFIED, self.mounts.unified), ("cpuacct", self.mounts.cpuacct)):
            folder = self._at(mount, path)
            if folder is None or name not in hierarchies:
                continue
            inode = _inode(folder)
            if not inode:
                continue
            if name == UNIFIED:
                cpu_us = _keyed(f"{folder}/cpu.stat", b"usage_usec")
            else:
                cpu_ns = _number(f"{folder}/cpuacct.usage")
                cpu_us = cpu_ns // 1_000 if cpu_ns is not None else None
            if cpu_us is not None:
                return Counters(inode, cpu_us, version=2 if name == UNIFIED else 1)
        return None

    def counters(
        self, path: str, hierarchies: Collection[str] = ALL_HIERARCHIES
    ) -> Counters | None:
        """All that the cgroup at `path` counts in these hierarchies; None when it has gone."""
        cpu = self.cpu(path, hierarchies)
        if cpu is None:
            return None
        unified = self._at(self.mounts.unified, path) if UNIFIED in hierarchies else None
        used, inactive, peak = self._memory(path, unified, hierarchies)
        tasks, tasks_peak = self._tasks(path, unified, hierarchies)
        has_io = unified and "io" in self._unified_controllers
        disk = self._disk(f"{unified}/io.stat") if has_io else None
        return Counters(
            cpu.inode, cpu.cpu_us, used, peak, inactive, tasks, tasks_peak, disk, cpu.version
        )

    def _memory(
        self, path: str, unified: str | None, hierarchies: Collection[str]
    ) -> tuple[int | None, int, int | None]:
        """(in use without file pages that the kernel would drop first, these, the peak)."""
        names = ("memory.current", b"inactive_file", "memory.peak")
        folder = unified if "memory" in self._unified_controllers else None
        used = _number(f"{folder}/{names[0]}") if folder else None
        if used is None and "memory" in hierarchies:
            folder = self._at(self.mounts.memory, path)
            names = ("memory.usage_in_bytes", b"total_inactive_file", "memory.max_usage_in_bytes")
            used = _number(f"{folder}/{names[0]}") if folder else None
        if used is None or folder is None:
            return None, 0, None
        inactive = min(_keyed(f"{folder}/memory.stat", names[1]) or 0, used)
        return used - inactive, inactive, _number(f"{folder}/{names[2]}")

    def _tasks(
        self, path: str, unified: str | None, hierarchies: Collection[str]
    ) -> tuple[int | None, int | None]:
        """(tasks, their peak)."""
        version_1 = self._at(self.mounts.pids, path) if "pids" in hierarchies else None
        for folder in (unified if "pids" in self._unified_controllers else None, version_1):
            tasks = _number(f"{folder}/pids.current") if folder else None
            if tasks is not None:
                return tasks, _number(f"{folder}/pids.peak")
        return None, None

    def _disk(self, path: str) -> tuple[int, int] | None:
        """(bytes read, bytes written), each once: what passes through a device that is made of
        others (LVM, RAID, encryption) is counted again at those."""
        data = read_file(path)
        if data is None:
            return None
        read = written = 0
        for line in data.splitlines():
            device, *words = line.split()
            if self._is_stacked(device):
                continue
            for word in words:
                key, _, value = word.partition(b"=")
                if key == b"rbytes":
                    read += int(value)
                elif key == b"wbytes":
                    written += int(value)
        return read, written

    def _is_stacked(self, device: bytes) -> bool:
        known = self._stacked.get(device)
        if known is None:
            try:
                known = bool(os.listdir(self._devices / os.fsdecode(device) / "slaves"))
            except OSError:
                known = False
            self._stacked[device] = known
        return known


def _inode(folder: str) -> int:
    try:
        return os.stat(folder).st_ino
    except OSError:
        return 0
