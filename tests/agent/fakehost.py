"""A host on paper: a /proc and a cgroup tree in a folder, written as the kernel writes them."""

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import CgroupFs, Mounts
from hostmeter_agent.config import Config
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.measure.scan import Scanner

OWN_PID = 77


@dataclass(frozen=True)
class Process:
    """Times in ticks (10 ms), memory in pages, io in bytes."""

    pid: int
    comm: str = "app"
    argv: tuple[str, ...] = ()
    exe: str = ""
    ppid: int = 1
    state: str = "S"
    flags: int = 0x400000
    cpu: int = 0
    children_cpu: int = 0
    faults: int = 10
    children_faults: int = 0
    threads: int = 1
    start: int = 1000
    rss: int = 100
    shared: int = 40
    pss: int | None = None
    """Bytes; None: no smaps_rollup."""
    io: tuple[int, int, int, int] | None = (0, 0, 0, 0)
    descriptors: tuple[str, ...] = ("/dev/null", "socket:[1]")
    cgroup: str = "0::/\n"


@dataclass
class FakeHost:
    """Processes are set, changed and ended; every change is on disk at once."""

    folder: Path
    processes: dict[int, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        (self.proc / "sys/kernel/random/boot_id").write_text("boot-1\n")
        (self.folder / "cgroup").mkdir()
        self.put(Process(1, comm="init", exe="/sbin/init", argv=("/sbin/init",), ppid=0))

    @property
    def proc(self) -> Path:
        return self.folder / "proc"

    def scanner(self, config: Config | None = None, mounts: Mounts | None = None) -> Scanner:
        cgroup_fs = CgroupFs(mounts or Mounts(self.folder / "cgroup", None, None))
        return Scanner(ProcFs(self.proc), cgroup_fs, config or Config(), OWN_PID)

    def put(self, process: Process) -> None:
        """Start a process, or write its present figures."""
        self.processes[process.pid] = process
        folder = self.proc / str(process.pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(_stat(process))
        (folder / "statm").write_text(f"9999 {process.rss} {process.shared} 1 0 1 0\n")
        _write_rollup(folder / "smaps_rollup", process.pss)
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in process.argv))
        (folder / "cgroup").write_text(process.cgroup)
        _link(folder / "exe", process.exe)
        _write_io(folder / "io", process.io)
        shutil.rmtree(folder / "fd", ignore_errors=True)
        (folder / "fd").mkdir()
        for number, target in enumerate(process.descriptors):
            os.symlink(target, folder / "fd" / str(number))

    def tell_proportional_memory(self) -> None:
        """Be a kernel that has smaps_rollup; before a scanner is made."""
        (self.proc / "self").mkdir()
        (self.proc / "self/smaps_rollup").write_text("")

    def change(self, pid: int, **figures: object) -> None:
        self.put(replace(self.processes[pid], **figures))  # type: ignore[arg-type]

    def end(self, pid: int) -> None:
        """The process has been waited for: the kernel has forgotten it."""
        del self.processes[pid]
        shutil.rmtree(self.proc / str(pid))

    def put_cgroup(self, path: str, files: dict[str, str]) -> None:
        folder = self.folder / "cgroup" / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(content)


def _stat(process: Process) -> str:
    fields = ["0"] * 50
    values = {
        0: process.state, 1: process.ppid, 6: process.flags, 7: process.faults,
        8: process.children_faults, 11: process.cpu // 2, 12: process.cpu - process.cpu // 2,
        13: process.children_cpu, 17: process.threads, 19: process.start, 21: process.rss,
        23: abs(hash((process.exe, process.argv))) % 10**9, 45: 1,
    }  # fmt: skip
    for index, value in values.items():
        fields[index] = str(value)
    return f"{process.pid} ({process.comm}) {' '.join(fields)}\n"


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    if target:
        os.symlink(target, path)


def _write_rollup(path: Path, pss: int | None) -> None:
    path.unlink(missing_ok=True)
    if pss is None:
        return
    path.write_text(
        f"5500-7ffc ---p 00000000 00:00 0 [rollup]\nRss: 999 kB\nPss: {pss // 1024:>10} kB\n"
        "Pss_Dirty: 7 kB\n"
    )


def _write_io(path: Path, io: tuple[int, int, int, int] | None) -> None:
    path.unlink(missing_ok=True)
    if io is None:
        path.mkdir(exist_ok=True)  # even root gets an error from reading a folder
        return
    if path.is_dir():
        path.rmdir()
    read, written, from_disk, to_disk = io
    path.write_text(
        f"rchar: {read}\nwchar: {written}\nsyscr: 1\nsyscw: 1\n"
        f"read_bytes: {from_disk}\nwrite_bytes: {to_disk}\ncancelled_write_bytes: 0\n"
    )
