"""Control groups of both versions: which one is an application's, and what it counts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEX_ID: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")
_SESSION: Final = re.compile(r"^(session-.*|init)\.scope$")
_USER_MANAGER: Final = re.compile(r"^user@\d+\.service$")
_READ_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where the hierarchies are mounted; None for one that is not."""

    unified: Path | None
    cpuacct: Path | None
    memory: Path | None


@dataclass(frozen=True, slots=True)
class Counters:
    """What a cgroup counts. None: not counted or not readable here."""

    inode: int
    cpu_us: int | None
    memory_bytes: int | None


def parse_mounts(text: str) -> Mounts:
    """The cgroup hierarchies in /proc/self/mounts."""
    unified = cpuacct = memory = None
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        options = words[3].split(",")
        if words[2] == "cgroup2":
            unified = Path(words[1])
        elif words[2] == "cgroup" and "cpuacct" in options:
            cpuacct = Path(words[1])
        elif words[2] == "cgroup" and "memory" in options:
            memory = Path(words[1])
    return Mounts(unified, cpuacct, memory)


def path_of_process(data: bytes) -> str:
    """The cgroup that tells a process's application, from /proc/PID/cgroup; "/" for none.

    systemd's own hierarchy names units under version 1, the unified one under version 2, and
    cpuacct shows what other managers made. A hierarchy that limits only memory, devices or the
    like says nothing about applications.
    """
    paths: dict[str, str] = {}
    for line in data.decode(errors="replace").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    for controller in ("name=systemd", "", "cpuacct"):
        if paths.get(controller, "/") != "/":
            return paths[controller]
    return "/"


def _is_unit(part: str) -> bool:
    ours = part.endswith((".service", ".scope")) or part.startswith(
        ("lxc.payload.", "lxc.monitor.")
    )
    return ours and not _SESSION.match(part) and not _USER_MANAGER.match(part)


def application_cgroup(path: str) -> str | None:
    """The path of the cgroup that is an application, at or above `path`; None for a login
    session, a bare slice or the root."""
    parts = path.strip("/").split("/")
    for depth, part in enumerate(parts, start=1):
        if _is_unit(part):
            return "/" + "/".join(parts[:depth])
    leaf = parts[-1]
    if not leaf or leaf.endswith(".slice") or _SESSION.match(leaf):
        return None
    if any(_USER_MANAGER.match(part) for part in parts):
        return None
    return "/" + "/".join(parts)


def application_name(path: str) -> str:
    """The name of a cgroup's application: the unit without its type, container ids cut short."""
    leaf = path.rpartition("/")[2]
    leaf = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), leaf)
    for end in (".service", ".scope"):
        leaf = leaf.removesuffix(end)
    return _HEX_ID.sub(r"\1", leaf.removeprefix("lxc.payload."))


def _value(directory: Path, name: str, key: bytes | None = None) -> int | None:
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, _READ_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if key is None:
        return int(data) if data.strip().isdigit() else None
    for line in data.splitlines():
        if line.startswith(key + b" "):
            return int(line[len(key) + 1 :])
    return None


def _memory(directory: Path, current: str, inactive: bytes) -> int | None:
    """Memory in use without file pages that the kernel would drop first."""
    used = _value(directory, current)
    if used is None:
        return None
    return max(used - (_value(directory, "memory.stat", inactive) or 0), 0)


class CgroupFs:
    """The cgroup files of one host."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts

    def counters(self, path: str) -> Counters | None:
        """What the cgroup at `path` counts; None when it has gone."""
        relative = path.lstrip("/")
        unified, cpuacct, memory = (
            mount / relative if mount is not None else None
            for mount in (self._mounts.unified, self._mounts.cpuacct, self._mounts.memory)
        )
        inode = next((i for d in (unified, cpuacct) if d and (i := _inode(d))), 0)
        if not inode:
            return None
        cpu_us = _value(unified, "cpu.stat", b"usage_usec") if unified else None
        if cpu_us is None and cpuacct:
            cpu_ns = _value(cpuacct, "cpuacct.usage")
            cpu_us = cpu_ns // 1_000 if cpu_ns is not None else None
        used = _memory(unified, "memory.current", b"inactive_file") if unified else None
        if used is None and memory:
            used = _memory(memory, "memory.usage_in_bytes", b"total_inactive_file")
        return Counters(inode, cpu_us, used)


def _inode(directory: Path) -> int:
    try:
        return directory.stat().st_ino
    except OSError:
        return 0
