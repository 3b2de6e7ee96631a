"""Checks of what needs no more than files: /proc, control groups, libraries, logs, limits."""

import glob
import os
import resource
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import parse_mounts
from hostmeter_agent.cgroup.own_cgroups import DROP_IN, refusal
from hostmeter_agent.config import load_config
from hostmeter_agent.install.findings import Finding, Place, effective_capabilities, mounts
from hostmeter_agent.install.unit import CAPABILITIES
from hostmeter_agent.interception.intercept import DIRECTORY

CAPABILITY_BITS: Final = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19,
    "CAP_BPF": 39,
}
INSTALLED: Final = "run it as the service that `hostmeter-agent install` sets up"
_DESCRIPTORS_MIN: Final = 1_024
_LIBRARY: Final = Path(__file__).parent.parent / "lib" / "libhostmeter_intercept.so"
_LOGS_MAX: Final = 1_000
_TRIED_MAX: Final = 200


def rights(place: Place) -> Finding:
    """Which of the service's capabilities this process has."""
    bits = effective_capabilities(place)
    missing = [name for name in CAPABILITIES if not bits >> CAPABILITY_BITS[name] & 1]
    who = f"user id {os.geteuid()}"
    if missing:
        return Finding("rights", "ok", f"{who}, without {', '.join(missing)}", INSTALLED)
    return Finding("rights", "ok", f"{who}, with {', '.join(CAPABILITIES)}")


def _of_others(place: Place) -> list[Path]:
    """Programs of other users that run now, as far as they can be seen."""
    found: list[Path] = []
    for name in os.listdir(place.proc):
        if not name.isdigit() or len(found) >= _TRIED_MAX:
            continue
        folder = place.proc / name
        try:
            # Kernel threads have no command line, and nothing to be read.
            if folder.stat().st_uid != os.geteuid() and (folder / "cmdline").read_bytes():
                found.append(folder)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since the listing
    return found


def _refusing(folders: list[Path], look: Callable[[Path], object]) -> int:
    """Of how many processes something may not be read."""
    refused = 0
    for folder in folders:
        try:
            look(folder)
        except PermissionError:
            refused += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return refused


def _look_at_io(folder: Path) -> None:
    os.listdir(folder / "fd")
    (folder / "io").read_bytes()


def processes(place: Place) -> Finding:
    """CPU time, processes and threads."""
    try:
        pids = [name for name in os.listdir(place.proc) if name.isdigit()]
        (place.proc / "self/stat").read_bytes()
    except OSError as error:
        return Finding(
            "processes", "unavailable", f"{place.proc}: {error.strerror}", "mount proc on /proc"
        )
    hidden = [o for _, options in mounts(place, "proc") for o in options if o.startswith("hidepid")]
    if hidden and hidden[0] not in ("hidepid=0", "hidepid=off") and "1" not in pids:
        return Finding(
            "processes", "lower_bound", f"{hidden[0]} hides the processes of other users",
            INSTALLED + ", whose CAP_SYS_PTRACE sees them",
        )  # fmt: skip
    return Finding("processes", "exact", f"{len(pids)} processes can be seen")


def io_and_descriptors(place: Place) -> Finding:
    """Bytes of files and disks, open files and resources."""
    name = "files, disk"
    if not (place.proc / "self/io").exists():
        return Finding(
            name, "unavailable", "the kernel counts no I/O by process",
            "boot a kernel with CONFIG_TASK_IO_ACCOUNTING",
        )  # fmt: skip
    others = _of_others(place)
    refused = _refusing(others, _look_at_io)
    reason = f"I/O and descriptors of {len(others) - refused} of {len(others)} processes of others"
    if refused and refused == len(others):
        return Finding(
            name, "unavailable", f"{reason} can be read", INSTALLED + ", which has CAP_SYS_PTRACE"
        )
    return Finding(name, "exact", f"{reason} can be read")


def memory(place: Place) -> Finding:
    """Proportional memory, where a cgroup does not tell."""
    if not (place.proc / "self/smaps_rollup").exists():
        reason = "no smaps_rollup: the largest share of shared pages is taken"
        return Finding("memory", "estimated", reason, "boot Linux 4.14 or newer")
    others = _of_others(place)
    refused = _refusing(others, lambda folder: (folder / "smaps_rollup").read_bytes())
    reason = f"smaps_rollup of {len(others) - refused} of {len(others)} processes of others"
    if refused and refused == len(others):
        return Finding("memory", "estimated", f"{reason} can be read", INSTALLED)
    return Finding("memory", "exact", f"{reason} can be read")


def cgroups(place: Place) -> Finding:
    """Which hierarchies there are, and what they count."""
    text = (place.proc / "self/mounts").read_text(errors="replace")
    found = parse_mounts(text)
    parts = []
    if found.unified is not None:
        controllers = (found.unified / "cgroup.controllers").read_text().split()
        parts.append(f"version 2 with {', '.join(controllers) or 'no controllers'}")
    first = [("cpuacct", found.cpuacct), ("memory", found.memory)]
    named = [name for name, mount in first if mount is not None]
    if named:
        parts.append(f"version 1 with {', '.join(named)}")
    if not parts:
        return Finding(
            "cgroups", "estimated", "no cgroup hierarchy is mounted: applications go by /proc",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )  # fmt: skip
    if found.cpuacct is None and found.unified is None:
        return Finding("cgroups", "estimated", f"{parts[0]}: none counts CPU time")
    return Finding("cgroups", "exact", " and ".join(parts))


def own_cgroups(place: Place) -> Finding:
    """Whether the agent may put applications into control groups of its own, where it is to."""
    name = "own cgroups"
    if not load_config(place.config).own_cgroups:
        return Finding(name, "ok", "the configuration does not ask for them")
    found = parse_mounts((place.proc / "self/mounts").read_text(errors="replace"))
    if found.unified is None:
        return Finding(name, "unavailable", "no cgroup2 hierarchy is mounted")
    why = refusal(found.unified)
    if why:
        return Finding(name, "unavailable", why, f"the service needs {DROP_IN}")
    return Finding(name, "exact", "this user may make them", f"the service needs {DROP_IN}")


def interception(place: Place, directory: Path = DIRECTORY) -> Finding:
    """Whether the library for LD_PRELOAD came with the agent, and programs can hand in counts."""
    name = "interception"
    if not _LIBRARY.is_file():
        return Finding(
            name, "unavailable", "libhostmeter_intercept.so is not part of this installation",
            "install the wheel for this machine's architecture",
        )  # fmt: skip
    if not directory.is_dir():
        return Finding(
            name, "unavailable", f"{directory} is not there: programs count, nobody reads",
            "start the agent, which makes it, before the programs",
        )  # fmt: skip
    if not directory.stat().st_mode & stat.S_IWOTH:
        return Finding(
            name, "lower_bound", f"only its owner's programs may write to {directory}",
            f"chmod 1733 {directory}",
        )  # fmt: skip
    return Finding(name, "exact", f"LD_PRELOAD={_LIBRARY} counts into {directory}")


def _log_patterns(place: Place) -> list[str]:
    if place.config is None:
        return []
    tables = tomllib.loads(place.config.read_text(encoding="utf-8")).get("access_log", [])
    return [str(table.get("path")) for table in tables if isinstance(table, dict)][:_LOGS_MAX]


def access_logs(place: Place) -> Finding:
    """The logs that the configuration names."""
    patterns = _log_patterns(place)
    if not patterns:
        return Finding("access logs", "unavailable", "the configuration names none")
    for pattern in patterns:
        files = glob.glob(pattern)
        if not files:
            return Finding("access logs", "unavailable", f"{pattern}: no such file yet")
        for file in files[:_LOGS_MAX]:
            if not os.access(file, os.R_OK, effective_ids=True):
                return Finding(
                    "access logs", "unavailable", f"{file}: may not be read",
                    INSTALLED + ", which has CAP_DAC_READ_SEARCH",
                )  # fmt: skip
    return Finding("access logs", "exact", f"{len(patterns)} paths can be read")


def clock(place: Place) -> Finding:
    """The machine's own clocks."""
    source = place.sys / "devices/system/clocksource/clocksource0/current_clocksource"
    name = source.read_text().strip() if source.exists() else "unknown"
    return Finding("clock", "ok", f"CLOCK_BOOTTIME measures; the clock source is {name}")


def descriptor_limit(place: Place) -> Finding:
    """Descriptors that the agent may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS_MIN:
        return Finding(
            "limits", "unavailable", f"only {soft} open files are allowed",
            f"raise the limit to {_DESCRIPTORS_MIN} (LimitNOFILE= in the unit)",
        )  # fmt: skip
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    shown = "any amount" if locked == resource.RLIM_INFINITY else f"{locked // 1024} KiB"
    return Finding("limits", "ok", f"{soft} open files, {shown} of locked memory")
