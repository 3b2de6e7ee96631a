"""Reading /proc: bytes in, small tuples out. This is the agent's hot path."""

import os
import stat as stat_module
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
KERNEL_THREAD_FLAG = 0x00200000
RESOURCE_KINDS = ("file", "socket", "pipe", "device", "other")
_MEMORY_FILES = ("/dev/shm/", "/dev/mqueue/")  # noqa: S108  a look at a name, no file is opened
_READ_BYTES = 4096
_COMMAND_LINE_BYTES_MAX = 65_536
_DESCRIPTORS_MAX = 1_000_000
_SOCKETS_MAX = 256
_SOCKET = 1

Io = tuple[int, int, int, int]
"""Bytes: read through read(2), written through write(2), read from disk, written to disk."""


class Descriptors(NamedTuple):
    """What a process has open. kinds: how much of each of RESOURCE_KINDS; sockets: the inodes of
    the first 256 of them, in the order of the descriptors, and of further ones that somebody asks
    for; whole: there are no others."""

    kinds: tuple[int, ...]
    sockets: tuple[int, ...]
    whole: bool


class Stat(NamedTuple):
    """/proc/PID/stat, as far as it is metered. Times are clock ticks, memory pages."""

    pid: int
    comm: bytes
    zombie: bool
    ppid: int
    kernel: bool
    faults: int
    children_faults: int
    cpu_ticks: int
    children_cpu_ticks: int
    threads: int
    start: int
    rss_pages: int
    thread: bool
    """Not a process but one of its further threads, which the kernel shows under its number, too,
    but does not list: at its end it signals nobody (exit_signal)."""
    image: bytes
    """Changes when the process executes another program or moves its argument list."""


class UnreadableStat(ValueError):
    """/proc/PID/stat does not look as the kernel documents it."""


def parse_stat(data: bytes) -> Stat:
    """Parse one /proc/PID/stat; the name may hold blanks and parentheses.

    Raises UnreadableStat.
    """
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 2 :].split()
    if opening < 0 or len(fields) < 22:
        raise UnreadableStat(data[:64])
    image = fields[23] + fields[45] if len(fields) > 45 else b""
    return Stat(
        int(data[:opening]),
        data[opening + 1 : closing],
        fields[0] in (b"Z", b"X", b"x"),
        int(fields[1]),
        bool(int(fields[6]) & KERNEL_THREAD_FLAG),
        int(fields[7]) + int(fields[8]),
        int(fields[8]),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
        int(fields[17]),
        int(fields[19]),
        int(fields[21]),
        len(fields) > 35 and fields[35] == b"-1",
        image,
    )


def parse_io(data: bytes) -> Io:
    """Parse /proc/PID/io. Raises ValueError or IndexError when it is cut short."""
    words = data.split()
    return int(words[1]), int(words[3]), int(words[9]), int(words[11])


def kind_of_target(target: str) -> int:
    """The index in RESOURCE_KINDS of a descriptor, by the target of its /proc link."""
    if target.startswith("socket:"):
        return _SOCKET
    if target.startswith("pipe:"):
        return 2
    if target.startswith("/dev/") and not target.startswith(_MEMORY_FILES):
        return 3
    return 0 if target.startswith("/") else 4


class ProcFs:
    """One /proc tree. A process that has gone raises FileNotFoundError or ProcessLookupError;
    one that may not be read raises PermissionError."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        # Since 6.2 the size of /proc/PID/fd is the number of descriptors.
        self.sized_descriptors = self._descriptors_have_size()
        # Since 4.14.
        self.has_rollup = os.path.exists(f"{root}/self/smaps_rollup")

        # Since 2.6, where the kernel keeps statistics of its scheduler.
        self.tells_running = self._tells_running()

    def open(self, path: str) -> int:
        """A descriptor of a file below the root, to be read again and again."""
        return os.open(f"{self.root}/{path}", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, path: str, size: int = _READ_BYTES) -> bytes:
        """Up to `size` bytes of a file below the root; /proc answers in one read."""
        descriptor = os.open(f"{self.root}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)

    def pids(self) -> list[int]:
        """All processes, lowest number first."""
        return sorted(int(name) for name in os.listdir(self.root) if name.isdigit())

    def stat(self, pid: int) -> Stat:
        return parse_stat(self.read(f"{pid}/stat"))

    def io(self, pid: int) -> Io:
        return parse_io(self.read(f"{pid}/io"))

    def shared_pages(self, pid: int) -> int:
        """Resident pages that are files or shared memory."""
        return int(self.read(f"{pid}/statm").split()[2])

    def pss_bytes(self, pid: int) -> int:
        """Resident memory, shared pages divided by the number of those that share them."""
        data = self.read(f"{pid}/smaps_rollup")
        at = data.find(b"\nPss:")
        if at < 0:
            raise ProcessLookupError(pid)  # it has given its memory back and is about to end
        return int(data[at + 5 : data.index(b"kB", at)]) * 1024

    def argv(self, pid: int) -> list[str]:
        """The command line; empty for a zombie or a kernel thread."""
        data = self.read(f"{pid}/cmdline", _COMMAND_LINE_BYTES_MAX).rstrip(b"\0")
        return [os.fsdecode(word) for word in data.split(b"\0")] if data else []

    def executable(self, pid: int) -> str:
        """The path of the program, "" where the kernel does not tell."""
        try:
            return os.readlink(f"{self.root}/{pid}/exe")
        except OSError:
            return ""

    def owner(self, pid: int) -> int:
        """The effective user id."""
        return os.stat(f"{self.root}/{pid}").st_uid

    def cgroups(self, pid: int) -> bytes:
        return self.read(f"{pid}/cgroup")

    def boot_id(self) -> str:
        return self.read("sys/kernel/random/boot_id").decode().strip()

    def boot_time_s(self) -> int:
        """Seconds since the epoch at which the machine started."""
        for line in self.read("stat", 1 << 20).splitlines():
            if line.startswith(b"btime "):
                return int(line[6:])
        return 0

    def descriptor_count(self, pid: int) -> int:
        path = f"{self.root}/{pid}/fd"
        if self.sized_descriptors:
            # The size is shown to everyone, the descriptors are not: ask for what listing needs.
            return os.stat(path).st_size
        return len(os.listdir(path))

    def descriptors(self, pid: int, asked_for: Container[int] = ()) -> Descriptors:
        """Each is looked at: dear. asked_for: inodes of sockets."""
        counts = [0] * len(RESOURCE_KINDS)
        sockets: list[int] = []
        directory = os.open(f"{self.root}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(directory)[:_DESCRIPTORS_MAX]:
                try:
                    target = os.readlink(name, dir_fd=directory)
                except (FileNotFoundError, ProcessLookupError):
                    continue  # closed since the listing
                kind = kind_of_target(target)
                counts[kind] += 1
                if kind == _SOCKET:
                    inode = int(target[len("socket:[") : -1])
                    if len(sockets) < _SOCKETS_MAX or inode in asked_for:
                        sockets.append(inode)
        finally:
            os.close(directory)
        return Descriptors(tuple(counts), tuple(sockets), len(sockets) == counts[_SOCKET])

    def _tells_running(self) -> bool:
        try:
            return any(int(word) for word in self.read("self/schedstat").split())
        except (OSError, ValueError):
            return False

    def _descriptors_have_size(self) -> bool:
        path = f"{self.root}/self/fd"
        try:
            return stat_module.S_ISDIR(os.stat(path).st_mode) and os.stat(path).st_size > 0
        except OSError:
            return False
