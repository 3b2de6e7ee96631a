"""Concurrent peers of applications without control groups of their own, and of all where eBPF is
refused: the host's connections, by the process that holds the listening socket."""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from hostmeter_agent.kernel.diag import (
    DiagUnavailable,
    Local,
    Sockets,
    by_netlink,
    by_proc,
    listeners_at,
)
from hostmeter_agent.kernel.network import USERS
from hostmeter_agent.kernel.peers import Proxies, networks
from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.readings import Reading
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

NETLINK_METHOD: Final = "peers-diag/1"
PROC_METHOD: Final = "peers-proc/1"
_WATCH_NS: Final = 100_000
"""CPU time that looking between scans may take in the mean of all occasions."""


class Look(Protocol):
    """See diag.by_netlink."""

    def __call__(self, *, listening: bool) -> Sockets: ...


class Seek(Protocol):
    """See Scanner.seek."""

    def __call__(self, sockets: frozenset[int], *, again: bool) -> None: ...


def _nowhere(sockets: frozenset[int], *, again: bool) -> None:
    """What a scan knows is all that there is."""


class ConnectionsProbe(Probe):
    """Tells of applications that hold a listening TCP socket in the agent's network namespace."""

    name = "connections"

    def __init__(
        self, proc: Path = Path("/proc"), proxies: Iterable[str] = (),
        *, seek: Seek = _nowhere, look: Look = by_netlink,
        cpu_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:  # fmt: skip
        """proxies: as NetworkProbe's; seek: Scanner's. Raises UnknownProxy."""
        self._net = proc / "net"
        self._proxies = Proxies(networks(proxies), self._net)
        self._netlink: Look | None = look
        self._seek = seek
        self._nobodys: frozenset[int] = frozenset()
        """Listening sockets of which the last scan knew no holder."""
        self._cpu_ns = cpu_ns
        self._applications: dict[Local, frozenset[str]] = {}
        """By where they listen, as of the last read."""
        self._maxima: dict[str, int] = {}
        self._watches_to_skip = 0
        self.reason: str | None = None
        """Why nothing can be seen; one line."""

    def _look(self, *, listening: bool) -> Sockets | None:
        """None: nothing can be seen, and `reason` says why."""
        if self._netlink is not None:
            try:
                return self._netlink(listening=listening)
            except DiagUnavailable as error:
                log.warning("no sock_diag (%s): connections are read from /proc/net", error)
                self._netlink = None
        try:
            sockets = by_proc(self._net)
        except OSError as error:
            self.reason = f"connections: {error.strerror}: {error.filename}"
            return None
        self.reason = None
        return sockets

    def watch(self) -> None:
        if self._watches_to_skip > 0 or not self._applications:
            self._watches_to_skip -= 1
            return
        began = self._cpu_ns()
        sockets = self._look(listening=False)
        if sockets is not None:
            self._note(sockets)
        self._watches_to_skip = (self._cpu_ns() - began) // _WATCH_NS

    def _note(self, sockets: Sockets) -> dict[str, set[bytes]]:
        """By application, its peers now; the largest number of the window is kept."""
        found: dict[str, set[bytes]] = {}
        for local, peers in sockets.connected.items():
            for at in listeners_at(local):
                if at in self._applications:
                    for name in self._applications[at]:
                        found.setdefault(name, set()).update(peers)
                    break
        for name, peers in found.items():
            self._maxima[name] = max(self._maxima.get(name, 0), len(peers))
        return found

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        method = NETLINK_METHOD if self._netlink is not None else PROC_METHOD
        readings = Readings(default={USERS: Measured("unavailable", method)})
        sockets = self._look(listening=True)
        if sockets is None:
            return readings
        found = self._find_applications(sockets, scan)
        peers = self._note(sockets)
        shared = {n for names in self._applications.values() if len(names) > 1 for n in names}
        method = NETLINK_METHOD if self._netlink is not None else PROC_METHOD
        for name in frozenset().union(*self._applications.values()):
            own = peers.get(name, set())
            vague = name in shared or not found or not sockets.complete or self._proxies.hide(own)
            quality: Quality = "lower_bound" if vague else "sampled"
            readings.gauges[name] = {USERS: len(own)}
            readings.maxima[name] = {USERS: self._maxima.get(name, 0)}
            readings.measured[name] = {USERS: Measured(quality, method)}
        return readings

    def _find_applications(self, sockets: Sockets, scan: Scan) -> bool:
        """False: there is a new one whose holder is yet to be found, if it can be seen at all."""
        listening = frozenset(i for inodes in sockets.listening.values() for i in inodes)
        names = _holders(listening, scan)
        former, self._nobodys = self._nobodys, listening - names.keys()
        found = self._nobodys <= former
        self._seek(listening, again=not found)
        self._applications = {
            local: frozenset(names[inode] for inode in inodes if inode in names)
            for local, inodes in sockets.listening.items()
        }
        return found

    def stored(self) -> None:
        self._maxima = {}


def _holders(inodes: frozenset[int], scan: Scan) -> dict[int, str]:
    """By socket, the application of the process that holds it. Of several the youngest stands for
    all: a service that was handed its socket, not systemd."""
    found: dict[int, Reading] = {}
    for pid, sockets in scan.sockets.items():
        if inodes.isdisjoint(sockets):
            continue
        reading = scan.table.processes[pid]
        for inode in inodes.intersection(sockets):
            other = found.get(inode)
            if other is None or (reading.start, reading.pid) > (other.start, other.pid):
                found[inode] = reading
    return {inode: reading.application for inode, reading in found.items()}
