"""What a test needs beyond Python: programs, rights and hierarchies of this machine.

A machine with nothing but Python runs the suite too, so a test whose needs are not met says what is
missing and is skipped; the checks set HOSTMETER_TOOLS=required, and there it fails instead.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NoReturn

import pytest
from hostmeter_agent.cgroup.cgroup_files import Mounts, parse_mounts

# Linux's numbers, of <linux/capability.h>.
CAPABILITIES: Final = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
EBPF: Final = ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
"""The rights to load the agent's programs and to attach them."""
_SYSTEM_PROGRAMS: Final = "/usr/sbin:/sbin"
"""Not on the search path of ordinary users."""


def lacking(reason: str) -> NoReturn:
    """End the test: skipped, or failed where everything has to be there."""
    if os.environ.get("HOSTMETER_TOOLS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str, *, package: str) -> str:
    """The path of a program; package: Debian's, or several with spaces between."""
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_PROGRAMS)
    if found is None:
        lacking(f"{name} is missing: apt-get install {package}")
    return found


def file(path: str, *, package: str) -> Path:
    """What a package holds beside programs."""
    if not Path(path).exists():
        lacking(f"{path} is missing: apt-get install {package}")
    return Path(path)


def compiler() -> None:
    """What the intercepting library is built with."""
    tool("gcc", package="gcc libc6-dev")
    file("/usr/include/stdio.h", package="libc6-dev")


def bpf_compiler(version: int) -> None:
    """clang of the version that made the shipped objects: another makes other bytes."""
    clang = tool("clang", package="clang llvm libbpf-dev")
    tool("llvm-strip", package="llvm")
    file("/usr/include/bpf/bpf_helpers.h", package="libbpf-dev")
    said = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", said)
    if found is None or int(found[1]) != version:
        lacking(f"needs clang {version} (Debian 12); this is {said.splitlines()[0]}")


def web_server() -> None:
    """nginx that counts what it answers, and programs that ask it."""
    root()
    cgroup2()
    for name, package in (
        ("nginx", "nginx"),
        ("openssl", "openssl"),
        ("wrk", "wrk"),
        ("curl", "curl"),
        ("h2load", "nghttp2-client"),
    ):
        tool(name, package=package)


def root() -> None:
    if os.geteuid() != 0:
        lacking("needs root")


def has(*names: str) -> bool:
    """Whether this process has all of these capabilities."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")]
    return all(effective >> CAPABILITIES[name] & 1 for name in names)


def capability(*names: str) -> None:
    missing = [name for name in names if not has(name)]
    if missing:
        lacking(f"needs {', '.join(missing)}")


def this_machines_mounts() -> Mounts:
    return parse_mounts(Path("/proc/self/mounts").read_text())


def cgroup2() -> Path:
    """The root of the cgroup2 hierarchy, in which groups can be made."""
    mount = this_machines_mounts().unified
    if mount is None:
        lacking("no cgroup2 hierarchy is mounted")
    return _writable(mount)


def cgroup1() -> Path:
    """The root of version 1's cpuacct, in which groups can be made. Most machines have none, and
    none can be installed."""
    mount = this_machines_mounts().cpuacct
    if mount is None:
        pytest.skip("this machine has no cgroups of version 1")
    return _writable(mount)


def _writable(hierarchy: Path) -> Path:
    if not os.access(hierarchy, os.W_OK, effective_ids=True):
        lacking(f"needs to make cgroups: {hierarchy} cannot be written")
    return hierarchy
