"""Checks of what the kernel grants: netlink families, bpf(2). Each opens what its probe opens, and
closes it again: nothing stays attached, mounted or pinned."""

import errno
from contextlib import closing
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import parse_mounts
from hostmeter_agent.errors import AgentError
from hostmeter_agent.install.doctor_host import INSTALLED
from hostmeter_agent.install.findings import Finding, Place, mounts
from hostmeter_agent.install.unit import UNIT_NAME
from hostmeter_agent.kernel.diag import DiagUnavailable, by_netlink
from hostmeter_agent.kernel.flows import groups_counted
from hostmeter_agent.kernel.launches import ForkListener, LaunchesUnavailable
from hostmeter_agent.kernel.network import NetworkProbe
from hostmeter_agent.kernel.opens import OpenCounter, OpensUnavailable
from hostmeter_agent.measure.exits import ExitListener, ExitsUnavailable

_LIBRARY: Final = "or use the intercepting library"
PERFMON: Final = (
    f"the service needs CAP_PERFMON: systemctl edit {UNIT_NAME}, [Service] "
    "AmbientCapabilities=CAP_PERFMON CapabilityBoundingSet=CAP_PERFMON (a line each)"
)


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
    """The proc connector: each start of a process."""
    try:
        ForkListener().close()
    except LaunchesUnavailable as error:
        remedy = INSTALLED + ", which has CAP_NET_ADMIN"
        if not isinstance(error.__cause__, PermissionError):
            remedy = "boot a kernel with CONFIG_PROC_EVENTS, and run the agent outside containers"
        return Finding("launches", "unavailable", f"no process events ({_plain(error)})", remedy)
    return Finding("launches", "exact", "the kernel tells of each start of a process")


def network(place: Place) -> Finding:
    """eBPF: data flow, transactions, connections by cgroup."""
    name = "network, transactions"
    lockdown = place.sys / "kernel/security/lockdown"
    if lockdown.exists() and "[confidentiality]" in lockdown.read_text():
        return Finding(
            name, "unavailable", "eBPF: the kernel is locked down",
            "boot without lockdown=confidentiality",
        )  # fmt: skip
    try:
        counted = groups_counted(place.state)
    except AgentError as error:
        return _refused(name, str(error))
    if counted is not None:
        return Finding(name, "exact", f"attached and pinned, counting {counted} control groups")
    found = parse_mounts((place.proc / "self/mounts").read_text(errors="replace"))
    if found.unified is None:
        return Finding(
            name, "unavailable", "eBPF: no cgroup2 hierarchy is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup/unified",
        )  # fmt: skip
    with closing(NetworkProbe(None, found)) as probe:
        if probe.reason is not None:
            return _refused(name, probe.reason)
    return _loadable(name, place)


def _loadable(name: str, place: Place) -> Finding:
    if not mounts(place, "bpf"):
        return Finding(
            name, "exact", "the program loads; what passes while the agent is stopped is not seen",
            "mount -t bpf bpf /sys/fs/bpf",
        )  # fmt: skip
    return Finding(name, "exact", "the program loads, and can go on while the agent is stopped")


def _refused(name: str, reason: str) -> Finding:
    remedy = INSTALLED
    if "Linux 5.10" in reason or "no bpf(2)" in reason:
        remedy = "boot Linux 5.10 or newer with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF"
    elif "not permitted" in reason or "CAP_PERFMON" in reason:
        remedy += ", or as root: hostmeter-agent attach --state DIR"
    return Finding(name, "unavailable", reason, remedy)


def users(place: Place) -> Finding:
    """Concurrent peers where eBPF does not tell: the kernel's list of connections."""
    try:
        by_netlink(listening=True)
    except DiagUnavailable as error:
        if not (place.proc / "net/tcp").exists():
            return Finding("users", "unavailable", f"no list of connections: {error}")
        return Finding(
            "users", "sampled", f"{place.proc}/net/tcp is read, which is slow: {error}",
            "modprobe tcp_diag",
        )  # fmt: skip
    return Finding("users", "sampled", "the kernel lists connections, with or without eBPF")


def opens(place: Place) -> Finding:
    """Resources opened by kind."""
    name = "resources opened"
    try:
        OpenCounter().close()
    except OpensUnavailable as error:
        reason = str(error)
        remedy = f"{PERFMON}, {_LIBRARY}" if "CAP_PERFMON" in reason else _LIBRARY[3:]
        return Finding(name, "unavailable", reason, remedy)
    return Finding(name, "exact", "this user may count them", PERFMON)
