"""The network probe: data flow, transactions and concurrent peers of applications that have
control groups of their own, from the eBPF program's counts."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import Mounts
from hostmeter_agent.cgroup.cgroup_ids import CgroupIds
from hostmeter_agent.errors import AgentError
from hostmeter_agent.kernel.flow_growth import Grown, Growth, Known, grow
from hostmeter_agent.kernel.flows import NOWHERE, Flows, HostFlows, pin_directory
from hostmeter_agent.kernel.peers import Proxies, networks
from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.readings import UNATTRIBUTED
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

RECEIVED: Final = "network.received"
SENT: Final = "network.sent"
TRANSACTIONS: Final = "transactions"
USERS: Final = "users.concurrent"
BYTES_METHOD: Final = "ebpf-skb/1"
TRANSACTIONS_METHOD: Final = "turnaround/1"
USERS_METHOD: Final = "peers/1"
COUNTER_RESET: Final = "counter-reset"

_METHOD_OF: Final = {
    RECEIVED: BYTES_METHOD,
    SENT: BYTES_METHOD,
    TRANSACTIONS: TRANSACTIONS_METHOD,
    USERS: USERS_METHOD,
}
_UNAVAILABLE: Final = {m: Measured("unavailable", method) for m, method in _METHOD_OF.items()}
_PEERS_PER_WATCH: Final = 500
"""With more connections than this the peers are not looked at every time."""


@dataclass(slots=True)
class _Seen:
    """What the last read saw, to be settled when it is stored."""

    gone: set[int] = field(default_factory=set)
    maxima: dict[str, int] = field(default_factory=dict)


class NetworkProbe(Probe):
    """Where the kernel refuses eBPF every meter is unavailable, and `reason` says why."""

    name = "network"

    def __init__(
        self, state: Path | None, mounts: Mounts, proc: Path = Path("/proc"),
        proxies: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """state: the agent's state directory, for which counting goes on while the agent is
        stopped; None: it does not, and nothing stays in the kernel; proxies: addresses and
        networks behind which users are not told apart. Raises UnknownProxy."""
        self._proxies = Proxies(networks(proxies), proc / "net")
        self._boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        self._hybrid = mounts.cpuacct is not None
        self._flows: HostFlows | None = None
        self._ids = CgroupIds(mounts.unified or Path("/"))
        self._application_of: dict[int, str] = {}
        self._has_owners = False
        """Whether the peers of any application can be told."""
        self._seen = _Seen()
        self._watches_until_peers = 0
        self.reason: str | None = None
        """Why nothing, or less than usual, is measured; one line."""
        self._open(state, mounts)

    def _open(self, state: Path | None, mounts: Mounts) -> None:
        if mounts.unified is None:
            self.reason = "eBPF: no cgroup2 hierarchy is mounted"
        else:
            try:
                pins = pin_directory(state) if state is not None else None
                self._flows = HostFlows(mounts.unified, pins)
                if state is not None and pins is None:
                    self.reason = "eBPF: no bpffs: nothing is counted while the agent is stopped"
            except AgentError as error:
                self.reason = str(error)
            except OSError as error:
                self.reason = f"eBPF: {error.strerror}"
        if self.reason:
            log.warning("%s", self.reason)

    def watch(self) -> None:
        self._watches_until_peers -= 1
        if self._flows is not None and self._has_owners and self._watches_until_peers <= 0:
            self._note_peers(self._flows)

    def _note_peers(self, flows: HostFlows) -> dict[str, set[bytes]]:
        """By application, its peers now; the largest number of the window is kept."""
        found: dict[str, set[bytes]] = {}
        connections = 0
        for cgroup, peers in flows.peers().items():
            connections += len(peers)
            name = self._application_of.get(cgroup)
            if name is not None:
                found.setdefault(name, set()).update(peers)
        for name, peers in found.items():
            self._seen.maxima[name] = max(self._seen.maxima.get(name, 0), len(peers))
        self._watches_until_peers = connections // _PEERS_PER_WATCH
        return found

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        if self._flows is None:
            return Readings(default=_UNAVAILABLE, state=former)
        # Where that fails the counts stay in the kernel: the next read has them.
        return self._readings(scan, former, self._flows.read(), self._flows)

    def _readings(
        self, scan: Scan, former: object | None, maps: dict[int, Flows], flows: HostFlows
    ) -> Readings:
        owners, own_paths = self._owners(scan)
        numbers = {n for counted in maps.values() for n in counted if n != NOWHERE}
        # Those that have counted nothing yet may have peers before the next scan.
        paths = self._ids.paths(numbers - own_paths.keys()) | own_paths
        self._application_of, self._has_owners = _applications(paths, owners), bool(owners)
        known = Known.from_json(former)
        grown = grow(maps, self._application_of, known or Known(self._boot, {}), boot=self._boot)
        self._seen.gone = {n for n in numbers if n not in paths and n in grown.idle}
        readings = Readings(default=_UNAVAILABLE, state=grown.known.to_json())
        peers = self._note_peers(flows)
        own = set(owners.values())
        ended = {name for name, growth in grown.by_application.items() if growth.is_some}
        for name in own | ended if known is not None else own:
            _report(readings, name, grown, first=known is None)
        for name in own:
            growth = grown.by_application.get(name, Growth())
            self._report_users(readings, name, peers.get(name, set()), growth)
        return readings

    def _owners(self, scan: Scan) -> tuple[dict[str, str], dict[int, str]]:
        """(by path, the application that alone has the control group's processes and has none
        elsewhere; the paths by number)."""
        owners: dict[str, str] = {}
        numbers: dict[int, str] = {}
        for path, application in scan.groups.owners.items():
            number = self._ids.inode(path)
            # On a host of both versions the path may be another hierarchy's.
            absent = self._hybrid and not self._ids.is_populated(path)
            if application in scan.outside or number is None or absent:
                continue
            owners[path] = application
            numbers[number] = path
        return owners, numbers

    def _report_users(
        self, readings: Readings, name: str, peers: set[bytes], growth: Growth
    ) -> None:
        hidden = self._proxies.hide(peers)
        quality: Quality = "lower_bound" if hidden or growth.unlisted else "sampled"
        readings.gauges[name] = {USERS: len(peers)}
        readings.maxima[name] = {USERS: self._seen.maxima.get(name, 0)}
        readings.measured[name][USERS] = Measured(quality, USERS_METHOD)

    def stored(self) -> None:
        self._seen.maxima = {}
        if self._flows is None:
            return
        try:
            self._flows.forget_retired()
            for cgroup in self._seen.gone:
                self._flows.forget(cgroup)
        except (AgentError, OSError) as error:
            log.warning("%s", error)  # their place is freed another time
        self._seen.gone = set()

    def close(self) -> None:
        """What is pinned goes on counting."""
        if self._flows is not None:
            self._flows.close()
            self._flows = None


def _applications(paths: dict[int, str], owners: dict[str, str]) -> dict[int, str]:
    """By control group, the application that has it or one above it alone; `unattributed` where
    none does."""
    found = {}
    for number, path in paths.items():
        name = UNATTRIBUTED
        at = path
        while at:
            if at in owners:
                name = owners[at]
                break
            at = at.rpartition("/")[0]
        found[number] = name
    return found


def _report(readings: Readings, name: str, grown: Grown, *, first: bool) -> None:
    """first: there is no former state, so nothing to take a difference to."""
    readings.measured[name] = {}
    if first:
        return
    growth = grown.by_application.get(name, Growth())
    readings.counters[name] = {
        RECEIVED: growth.received_bytes,
        SENT: growth.sent_bytes,
        TRANSACTIONS: growth.transactions,
    }
    whole = grown.complete and grown.continued
    flows: Quality = "exact" if whole else "lower_bound"
    turns: Quality = "exact" if whole and not growth.irregular else "lower_bound"
    for meter, quality in ((RECEIVED, flows), (SENT, flows), (TRANSACTIONS, turns)):
        readings.measured[name][meter] = Measured(quality, _METHOD_OF[meter])
    if not grown.continued:
        readings.marks.setdefault(name, set()).add(COUNTER_RESET)
