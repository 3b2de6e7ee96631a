"""Checks of what the kernel grants: netlink families, bpf(2), perf events. Each is tried."""

import ctypes
import errno
import os
import platform
import socket
import struct
from typing import Final

from hostmeter_agent.install.doctor_host import INSTALLED
from hostmeter_agent.install.findings import Finding, Place, mounts
from hostmeter_agent.measure.exits import ExitListener, ExitsUnavailable

_CALLS: Final = {"x86_64": (321, 298), "aarch64": (280, 241), "riscv64": (280, 241)}
"""Numbers of bpf(2) and perf_event_open(2) by machine."""
_NETLINK_CONNECTOR: Final = 11
_CN_IDX_PROC: Final = 1
_PROG_LOAD: Final = 5
_CGROUP_SKB: Final = 8
_ALLOW: Final = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)
"""r0 = 1; exit: let the packet pass."""
_TRACEPOINT: Final = 2
_ATTR_BYTES: Final = 64


def exit_records(place: Place) -> Finding:
    """taskstats: CPU time of processes that end between two scans."""
    name = "ended processes"
    try:
        ExitListener().close()
    except ExitsUnavailable as error:
        remedy = INSTALLED + ", which has CAP_NET_ADMIN"
        if _is(error, errno.ENOENT):
            remedy = "boot a kernel with CONFIG_TASKSTATS"
        return Finding(
            name, "estimated", f"no exit records ({_plain(error)}): parents tell", remedy
        )
    return Finding(name, "sampled", "the kernel sends exit records; exact in an own cgroup")


def _plain(error: Exception) -> str:
    cause = error.__cause__
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)


def _is(error: Exception, number: int) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == number


def process_events(place: Place) -> Finding:
    """The proc connector: each start of a process. Joining its group changes nothing."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR) as connector:
            connector.bind((0, _CN_IDX_PROC))
    except PermissionError:
        return Finding(
            "launches", "unavailable", "process events are for CAP_NET_ADMIN only", INSTALLED
        )
    except OSError as error:
        return Finding(
            "launches", "unavailable", f"no process events: {error.strerror}",
            "boot a kernel with CONFIG_PROC_EVENTS",
        )  # fmt: skip
    return Finding("launches", "exact", "the kernel tells of each start of a process")


def _call(number: int, *words: "int | ctypes.Array[ctypes.c_char]") -> int:
    """A system call; its result. Raises OSError. Integers are passed as long."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    given = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    result = int(call(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _load_program(number: int) -> None:
    """Load the smallest program of the kind that counts packets, and let it go. Raises OSError."""
    program = ctypes.create_string_buffer(_ALLOW, len(_ALLOW))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sI", _CGROUP_SKB, len(_ALLOW) // 8, ctypes.addressof(program),
        ctypes.addressof(licence), 0, 0, 0, 0, 0, b"hostmeter_try", 0,
    )  # fmt: skip
    attributes += struct.pack("=I", 0)  # expected_attach_type: ingress
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    os.close(_call(number, _PROG_LOAD, buffer, len(attributes)))


def network(place: Place) -> Finding:
    """eBPF: data flow, transactions, connections by cgroup."""
    name = "network, transactions"
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return Finding(name, "unavailable", f"no eBPF by this agent on {platform.machine()}")
    if not mounts(place, "cgroup2"):
        return Finding(
            name, "unavailable", "no cgroup2 hierarchy to attach eBPF programs to",
            "mount -t cgroup2 none /sys/fs/cgroup/unified",
        )  # fmt: skip
    try:
        _load_program(calls[0])
    except OSError as error:
        return Finding(name, "unavailable", *_bpf_refusal(place, error))
    if not mounts(place, "bpf"):
        return Finding(
            name, "exact", "eBPF programs load; what happens while the agent restarts is not seen",
            "mount -t bpf bpf /sys/fs/bpf",
        )  # fmt: skip
    return Finding(name, "exact", "eBPF programs load, and can go on while the agent restarts")


def _bpf_refusal(place: Place, error: OSError) -> tuple[str, str]:
    """Why eBPF is refused, and what to do."""
    lockdown = place.sys / "kernel/security/lockdown"
    if lockdown.exists() and "[confidentiality]" in lockdown.read_text():
        return "the kernel is locked down", "boot without lockdown=confidentiality"
    if error.errno == errno.ENOSYS:
        return "this kernel has no eBPF", "boot a kernel with CONFIG_BPF_SYSCALL"
    if error.errno == errno.EINVAL:
        return "this kernel has no eBPF for cgroups", "boot a kernel with CONFIG_CGROUP_BPF"
    return f"eBPF is refused: {error.strerror}", INSTALLED + ", which has CAP_BPF"


def opens(place: Place) -> Finding:
    """Tracepoints: resources opened by kind."""
    name = "resources opened"
    calls = _CALLS.get(platform.machine())
    folders = [mount for mount, _ in mounts(place, "tracefs")]
    if not folders:
        return Finding(
            name, "unavailable", "tracefs is not mounted",
            "mount -t tracefs tracefs /sys/kernel/tracing, or use the intercepting library",
        )  # fmt: skip
    try:
        identifier = (folders[0] / "events/syscalls/sys_exit_openat/id").read_text().strip()
        if calls is None or not identifier.isdigit():
            return Finding(name, "unavailable", "no tracepoints on this machine")
        _open_tracepoint(calls[1], int(identifier))
    except OSError as error:
        return Finding(
            name, "unavailable", f"tracepoints are refused: {error.strerror}",
            "give the unit CAP_PERFMON in a drop-in, or use the intercepting library",
        )  # fmt: skip
    return Finding(name, "exact", "tracepoints of open calls can be read")


def _open_tracepoint(number: int, identifier: int) -> None:
    """Open a counter of a tracepoint on the first processor and let it go. Raises OSError."""
    attributes = struct.pack("=IIQ", _TRACEPOINT, _ATTR_BYTES, identifier).ljust(_ATTR_BYTES, b"\0")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    os.close(_call(number, buffer, -1, 0, -1, 0))
