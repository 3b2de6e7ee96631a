"""Concurrent peers of applications without control groups of their own: on this machine's kernel,
and with sockets on paper."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.kernel.connections import ConnectionsProbe
from hostmeter_agent.kernel.diag import DiagUnavailable, Local, Sockets, by_netlink, by_proc
from hostmeter_agent.measure.budget import KINDS_OF_DESCRIPTORS
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.opening import open_measuring, open_scanner
from hostmeter_agent.running import system_clock

from tests import needs
from tests.agent.apart import apart
from tests.agent.fakehost import FakeHost, Process

USERS = "users.concurrent"
NAME = "hostmeter-parlour"
# Listens at an address, accepts so many connections, says so, and waits for a line.
SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else
                              socket.AF_INET, dualstack_ipv6=sys.argv[1] == "::")
print(server.getsockname()[1], flush=True)
held = [server.accept() for _ in range(int(sys.argv[2]))]
print("all", flush=True)
sys.stdin.readline()
"""


class Parlour:
    """A running server, and the clients that visit it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.output = process.stdout
        self.port = int(self.output.readline())
        self.visits = ExitStack()

    def visit(self, address: str, source: str) -> None:
        visit = socket.create_connection((address, self.port), source_address=(source, 0))
        self.visits.enter_context(visit)

    def wait(self) -> None:
        assert self.output.readline() == "all\n"


@contextmanager
def parlour(folder: Path, address: str, accepts: int) -> Iterator[Parlour]:
    """As an application of its own: what this process is the parent of is the agent's."""
    if ":" in address and not Path("/proc/net/if_inet6").exists():
        needs.lacking("this machine has no IPv6")
    path = folder / f"{NAME}.py"
    path.write_text(SERVER)
    process = subprocess.Popen(
        apart(sys.executable, str(path), address, str(accepts)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    opened = Parlour(process)
    try:
        yield opened
    finally:
        opened.visits.close()
        process.communicate("\n", timeout=10)


def users(probe: ConnectionsProbe) -> tuple[int, Measured]:
    """Of the parlour, as the scan and the probe see it now."""
    scanner, _ = open_scanner(Config())
    readings = probe.read(scanner.scan(now_s=time.monotonic()), None, elapsed_ms=10_000)
    return readings.gauges[NAME][USERS], readings.measured[NAME][USERS]


class TestOnThisMachine:
    def test_distinct_addresses_are_users_of_the_one_that_listens(self, tmp_path: Path) -> None:
        with parlour(tmp_path, "127.0.0.1", 3) as server:
            for source in ("127.0.0.1", "127.0.0.9", "127.0.0.9"):
                server.visit("127.0.0.1", source)
            server.wait()
            # The clients are of this machine, so each could be a proxy.
            assert users(ConnectionsProbe()) == (2, Measured("lower_bound", "peers-diag/1"))

    @pytest.mark.parametrize(
        ("listens", "address", "source"),
        [("::1", "::1", "::1"), ("::", "::1", "::1"), ("::", "127.0.0.1", "127.0.0.7")],
    )
    def test_ipv6_and_both_at_once(
        self, tmp_path: Path, listens: str, address: str, source: str
    ) -> None:
        with parlour(tmp_path, listens, 1) as server:
            server.visit(address, source)
            server.wait()
            assert users(ConnectionsProbe())[0] == 1

    def test_who_was_not_accepted_yet_is_no_user(self, tmp_path: Path) -> None:
        with parlour(tmp_path, "127.0.0.1", 1) as server:
            server.visit("127.0.0.1", "127.0.0.1")
            server.visit("127.0.0.1", "127.0.0.9")
            server.wait()
            assert users(ConnectionsProbe())[0] == 1

    def test_proc_tells_what_netlink_tells(self, tmp_path: Path) -> None:
        with parlour(tmp_path, "::", 2) as server:
            server.visit("::1", "::1")
            server.visit("127.0.0.1", "127.0.0.7")
            server.wait()
            port = server.port.to_bytes(2, "big")
            told = [_of(port, by_netlink(listening=True)), _of(port, by_proc(Path("/proc/net")))]
            assert told[0] == told[1]
            listening, connected = told[0]
            assert (len(listening), len(connected)) == (1, 2)

    def test_the_agent_meters_it_beside_the_ebpf_program(self, tmp_path: Path) -> None:
        measuring = open_measuring(
            Config(), instance="web-1", stored=None, listener=None, state=tmp_path, pinned=False
        )
        try:
            with parlour(tmp_path, "127.0.0.1", 1) as server:
                server.visit("127.0.0.1", "127.0.0.1")
                server.wait()
                measuring.commit(measuring.measure(system_clock))
                step = measuring.measure(system_clock)
        finally:
            measuring.probing.close()
        (sample, *_) = [s for s in step.samples if s["application"] == NAME]
        key, usage = sample["measured"], sample["usage"]
        assert isinstance(key, str)
        assert isinstance(usage, dict)
        assert usage["users.concurrent.max"] == 1
        how = json.loads(step.measurements[key])["meters"]
        assert how[USERS] == ["lower_bound", "peers-diag/1"]


def _of(port: bytes, sockets: Sockets) -> tuple[dict[Local, set[int]], dict[Local, set[bytes]]]:
    return (
        {at: inodes for at, inodes in sockets.listening.items() if at[0] == port},
        {at: peers for at, peers in sockets.connected.items() if at[0] == port},
    )


def v4(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + socket.inet_aton(text)


WEB, MAIL = b"\0\x50", b"\0\x19"
ANYWHERE, HERE = v4("0.0.0.0"), v4("192.0.2.1")  # noqa: S104
ALICE, BOB, CAROL = v4("198.51.100.1"), v4("198.51.100.2"), v4("203.0.113.3")


class OnPaper:
    """A host on paper, its sockets, and the probe that looks at both."""

    def __init__(self, folder: Path) -> None:
        self.host = FakeHost(folder)
        self.host.put(Process(100, comm="shop", argv=("shop",), descriptors=("socket:[7]",)))
        self.sockets = Sockets(listening={(WEB, ANYWHERE): {7}})
        self.looks = 0
        self.refusal = ""
        self.spent_ns = 0
        self.probe = ConnectionsProbe(
            self.host.proc,
            ["203.0.113.0/24"],
            look=self.look,
            cpu_ns=lambda: self.spent_ns,
        )
        self.look_ns = 0

    def look(self, *, listening: bool) -> Sockets:
        self.looks += 1
        self.spent_ns += self.look_ns
        if self.refusal:
            raise DiagUnavailable(self.refusal)
        return self.sockets

    def connect(self, *peers: bytes, at: Local = (WEB, HERE)) -> None:
        self.sockets.connected[at] = set(peers)

    def read(self) -> Readings:
        scan = self.host.scanner().scan(now_s=100)
        return self.probe.read(scan, None, elapsed_ms=10_000)


@pytest.fixture
def paper(tmp_path: Path) -> OnPaper:
    return OnPaper(tmp_path)


class TestUsers:
    def test_are_the_distinct_peers_of_the_listener(self, paper: OnPaper) -> None:
        paper.connect(ALICE, BOB)
        readings = paper.read()
        assert readings.gauges == {"shop": {USERS: 2}}
        assert readings.measured == {"shop": {USERS: Measured("sampled", "peers-diag/1")}}

    def test_are_none_where_nobody_is_connected(self, paper: OnPaper) -> None:
        assert paper.read().gauges == {"shop": {USERS: 0}}

    def test_are_not_those_that_the_application_connected_to(self, paper: OnPaper) -> None:
        paper.connect(ALICE, at=(b"\xc0\x01", HERE))
        assert paper.read().gauges == {"shop": {USERS: 0}}

    def test_belong_to_the_listener_nearest_to_their_address(self, paper: OnPaper) -> None:
        paper.host.put(Process(101, comm="mail", argv=("mail",), descriptors=("socket:[8]",)))
        paper.sockets.listening[WEB, HERE] = {8}
        paper.connect(ALICE)
        assert paper.read().gauges == {"shop": {USERS: 0}, "mail": {USERS: 1}}

    def test_of_a_proxy_alone_are_a_lower_bound(self, paper: OnPaper) -> None:
        paper.connect(CAROL)
        assert paper.read().measured["shop"][USERS].quality == "lower_bound"
        paper.connect(CAROL, ALICE)
        assert paper.read().measured["shop"][USERS].quality == "sampled"

    def test_of_a_place_that_two_applications_share_are_a_lower_bound(self, paper: OnPaper) -> None:
        paper.host.put(Process(101, comm="mail", argv=("mail",), descriptors=("socket:[8]",)))
        paper.sockets.listening[WEB, ANYWHERE] = {7, 8}
        paper.connect(ALICE)
        measured = paper.read().measured
        assert {measured[name][USERS].quality for name in ("shop", "mail")} == {"lower_bound"}

    def test_of_more_connections_than_can_be_listed_are_a_lower_bound(self, paper: OnPaper) -> None:
        paper.sockets.complete = False
        assert paper.read().measured["shop"][USERS].quality == "lower_bound"

    def test_between_two_scans_show_in_the_maximum_once(self, paper: OnPaper) -> None:
        paper.read()
        paper.connect(ALICE, BOB)
        paper.probe.watch()
        paper.connect()
        readings = paper.read()
        assert (readings.gauges["shop"][USERS], readings.maxima["shop"][USERS]) == (0, 2)
        assert paper.read().maxima["shop"][USERS] == 2  # the step was not stored
        paper.probe.stored()
        assert paper.read().maxima["shop"][USERS] == 0


class TestLookingBetweenScans:
    def test_is_rarer_the_dearer_it_is(self, paper: OnPaper) -> None:
        paper.look_ns = 2_000_000
        paper.read()
        paper.looks = 0
        for _ in range(100):
            paper.probe.watch()
        assert paper.looks == 5  # 2 ms each: 0.1 ms a second

    def test_is_left_where_nobody_listens(self, paper: OnPaper) -> None:
        paper.sockets.listening.clear()
        paper.read()
        paper.looks = 0
        paper.probe.watch()
        assert paper.looks == 0


class TestWithoutNetlink:
    def test_the_files_of_proc_are_read(self, paper: OnPaper) -> None:
        paper.refusal = "Protocol not supported"
        net = paper.host.proc / "net"
        net.mkdir()
        (net / "tcp").write_text(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
            "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7 1\n"
            "   1: 010200C0:0050 016433C6:D431 01 00000000:00000000 00:00000000 00000000 0 0 8 1\n"
            "   2: 010200C0:0050 026433C6:D431 01 00000000:00000000 00:00000000 00000000 0 0 0 1\n"
            if sys.byteorder == "little"
            else ""
        )
        readings = paper.read()
        assert readings.gauges == {"shop": {USERS: 1}}
        assert readings.measured["shop"][USERS] == Measured("sampled", "peers-proc/1")

    def test_and_without_those_it_is_unavailable_and_says_why(self, paper: OnPaper) -> None:
        paper.refusal = "Protocol not supported"
        readings = paper.read()
        assert readings.gauges == {}
        assert readings.default[USERS].quality == "unavailable"
        assert paper.probe.reason == f"connections: no TCP: {paper.host.proc}/net"


class TestAListenerThatIsNotKnownYet:
    """Of many descriptors, or of as many as before, not all are looked at in every scan."""

    @pytest.fixture(autouse=True)
    def _paper(self, paper: OnPaper) -> None:
        self.paper = paper
        self.scanner = paper.host.scanner()
        self.probe = ConnectionsProbe(paper.host.proc, seek=self.scanner.seek, look=paper.look)
        self.now_s = 100

    def hold(self, *sockets: int) -> None:
        links = tuple(f"socket:[{each}]" for each in sockets)
        self.paper.host.change(100, descriptors=links)

    def read(self) -> tuple[int, str]:
        self.now_s += 10
        scan = self.scanner.scan(now_s=self.now_s)
        readings = self.probe.read(scan, None, elapsed_ms=10_000)
        return readings.gauges["shop"][USERS], readings.measured["shop"][USERS].quality

    def listen(self, inode: int) -> None:
        """Two users, of whom one is at this new listener."""
        self.paper.sockets.listening[MAIL, ANYWHERE] = {inode}
        self.paper.connect(ALICE)
        self.paper.connect(BOB, at=(MAIL, HERE))

    @pytest.mark.parametrize("others", [(), tuple(range(1_000, 1_200))])
    def test_makes_users_a_lower_bound_and_is_found_by_the_next_scan(
        self, others: tuple[int, ...]
    ) -> None:
        self.hold(7, 6, *others)
        assert self.read() == (0, "sampled")
        self.hold(7, 8, *others, *others[:1])
        self.listen(8)
        assert [self.read() for _ in range(3)] == [
            (1, "lower_bound"), (2, "sampled"), (2, "sampled")
        ]  # fmt: skip

    def test_is_found_behind_many_sockets_and_not_lost_again(self) -> None:
        self.hold(7)
        assert self.read() == (0, "sampled")
        many = (7, *range(1_000, 1_600))
        self.hold(*many)
        known = self.scanner.scan(now_s=self.now_s + 1).sockets[100]
        assert 256 <= len(known) < len(many)
        self.listen(next(each for each in many[1:] if each not in known))
        found = [self.read() for _ in range(20)]
        assert (found[0], {*found[1:]}) == ((1, "lower_bound"), {(2, "sampled")})

    def test_of_a_process_that_cannot_be_seen_is_given_up(self) -> None:
        self.listen(8)
        assert [self.read() for _ in range(2)] == [(1, "lower_bound"), (1, "sampled")]


class TestTheHolderOfASocket:
    def test_is_the_youngest_process_that_has_it(self, paper: OnPaper) -> None:
        paper.host.change(1, descriptors=("socket:[7]",), start=1)
        assert set(paper.read().gauges) == {"shop"}

    def test_is_looked_for_again_when_it_has_closed_it(self, paper: OnPaper) -> None:
        paper.read()
        paper.host.put(Process(90, comm="heir", argv=("heir",), descriptors=("socket:[7]",)))
        assert set(paper.read().gauges) == {"shop"}
        paper.host.end(100)
        assert set(paper.read().gauges) == {"heir"}

    def test_is_found_without_looking_at_descriptors_again(
        self, paper: OnPaper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scan = paper.host.scanner().scan(now_s=100)
        monkeypatch.setattr(os, "listdir", None)
        monkeypatch.setattr(os, "readlink", None)
        readings = paper.probe.read(scan, None, elapsed_ms=10_000)
        assert set(readings.gauges) == {"shop"}

    def test_is_not_known_where_kinds_of_descriptors_are_shed(self, paper: OnPaper) -> None:
        left_out = frozenset({KINDS_OF_DESCRIPTORS})
        scan = paper.host.scanner().scan(now_s=100, left_out=left_out)
        readings = paper.probe.read(scan, None, elapsed_ms=10_000)
        assert (readings.gauges, readings.default[USERS].quality) == ({}, "unavailable")

    def test_that_may_not_be_looked_at_is_not_found(self, paper: OnPaper) -> None:
        os.rename(paper.host.proc / "100/fd", paper.host.proc / "100/hidden")
        assert paper.read().gauges == {}
