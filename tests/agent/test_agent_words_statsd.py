"""StatsD lines from datagrams and streams become meters."""

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words.amounts import NANO
from hostmeter_agent.words.config import Metric, StatsdInlet
from hostmeter_agent.words.statsd import StatsdProbe
from hostmeter_agent.words.statsd_inlet import STREAM_LINE_BYTES_MAX
from hostmeter_agent.words.statsd_lines import Accumulator, LineMalformed, event_of
from hypothesis import given, settings
from hypothesis import strategies as st

ORDERS = Metric("statsd", "shop", "orders", "transactions")
LATENCY = Metric("statsd", "shop", "latency", "launches", where=(("code", re.compile("^2")),))
SESSIONS = Metric("statsd", "shop", "sessions", "users.concurrent", version=9)
METRICS = (ORDERS, LATENCY, SESSIONS)
SHOP_ORDERS, SHOP_SESSIONS = ("shop", "transactions"), ("shop", "users.concurrent")


class TestALine:
    @pytest.mark.parametrize(
        ("rest", "kind", "values", "one_in", "tags"),
        [
            ("1|c", "c", (NANO,), NANO, {}),
            ("1:2:0.5|c", "c", (NANO, 2 * NANO, NANO // 2), NANO, {}),
            ("3|c|@0.25", "c", (3 * NANO,), 4 * NANO, {}),
            ("320|ms|@0.1|#code:200,eu", "ms", (320 * NANO,), 10 * NANO, {"code": "200", "eu": ""}),
            ("1|c|#url:http://x|c:ci-1|T16", "c", (NANO,), NANO, {"url": "http://x"}),
        ],
    )
    def test_says(
        self, rest: str, kind: str, values: tuple[int, ...], one_in: int, tags: dict[str, str]
    ) -> None:
        event = event_of(rest)
        assert (event.kind, event.values, event.one_in, event.tags) == (kind, values, one_in, tags)

    @pytest.mark.parametrize(
        "rest", ["", "1", "x|c", "1:|c", "1|c|@0", "1|c|@2", "1|c|@x", "NaN|c", "1|c|@0.0000001"]
    )
    def test_that_is_none_is_refused(self, rest: str) -> None:
        with pytest.raises(LineMalformed):
            event_of(rest)

    @settings(deadline=None)
    @given(st.binary(max_size=100))
    def test_may_hold_anything(self, noise: bytes) -> None:
        accumulator = Accumulator(METRICS, lambda: 0)
        accumulator.take(b"orders:" + noise + b"\norders:1|c\nsessions:" + noise)
        assert accumulator.fetch().counters[SHOP_ORDERS] >= NANO


class TestAddingUp:
    def test_takes_counters_timers_and_rates(self) -> None:
        accumulator = Accumulator(METRICS, lambda: 0)
        accumulator.take(b"orders:2|c\norders:0.5|c|@0.1\nlatency:3:4|ms|#code:200\nother:1|c\n")
        accumulator.take(b"latency:9|ms|#code:500")
        pending = accumulator.fetch()
        assert pending.counters == {SHOP_ORDERS: 7 * NANO, ("shop", "launches"): 2 * NANO}
        assert pending.sampled == {SHOP_ORDERS}
        assert not pending.malformed
        assert accumulator.fetch().counters == {}

    def test_takes_gauges_their_changes_and_their_peak(self) -> None:
        accumulator = Accumulator(METRICS, lambda: 0)
        accumulator.take(b"sessions:5|g\nsessions:+3|g\nsessions:-6|g\nsessions:4|g|#z:b")
        total = sum(g.value for g in accumulator.gauges(stale_s=1)[SHOP_SESSIONS].values())
        assert total == 6 * NANO
        assert accumulator.fetch().peaks == {SHOP_SESSIONS: 8 * NANO}

    def test_forgets_stale_gauges(self) -> None:
        now = [100.0]
        accumulator = Accumulator(METRICS, lambda: now[0])
        accumulator.take(b"sessions:5|g")
        now[0] = 130.0
        assert SHOP_SESSIONS in accumulator.gauges(stale_s=30)
        assert SHOP_SESSIONS not in accumulator.gauges(stale_s=29)

    @pytest.mark.parametrize("line", [b"orders:-1|c", b"orders:1|g", b"sessions:1|c", b"orders:x"])
    def test_says_which_of_our_lines_make_no_sense(self, line: bytes) -> None:
        accumulator = Accumulator(METRICS, lambda: 0)
        accumulator.take(line)
        assert accumulator.fetch().malformed


@dataclass
class Host:
    """An agent with StatsD inlets."""

    folder: Path
    state: object = None
    total: int = 0
    last: Readings = field(default_factory=Readings)
    port: int | None = None

    def __post_init__(self) -> None:
        self.datagrams = self.folder / "statsd.sock"
        self.stream = self.folder / "statsd.stream"
        self.start()

    def start(self) -> None:
        inlet = StatsdInlet(str(self.datagrams), str(self.stream), port=self.port)
        self.probe = StatsdProbe(inlet, METRICS)

    def scan(self, *, stored: bool = True) -> Readings:
        self.last = self.probe.read(Scan(), self.state, elapsed_ms=10_000)
        if stored:
            self.state = json.loads(json.dumps(self.last.state))
            self.probe.stored()
            self.total += self.last.counters["shop"]["transactions"]
        return self.last

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self.datagrams))
            for datagram in datagrams:
                sender.send(datagram)

    def until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < until, (self.last, self.total)
            time.sleep(0.01)
            self.scan()

    def quality(self) -> str:
        return self.last.measured["shop"]["transactions"].quality

    @property
    def marks(self) -> set[str]:
        return self.last.marks.get("shop", set())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.probe.close()


class TestTheInlet:
    def test_loses_none_of_many_datagrams(self, host: Host) -> None:
        host.scan()
        host.send(*[b"orders:1|c\norders:2|c"] * 20_000)
        host.until(lambda: host.total == 60_000)
        assert host.last.measured["shop"]["transactions"] == Measured("exact", "statsd/1")

    def test_takes_streams_in_pieces_and_a_last_line_without_its_end(self, host: Host) -> None:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect(str(host.stream))
            for piece in (b"orders:1|c\nord", b"ers:2", b"|c\r\n\norders:4|c"):
                sender.sendall(piece)
        host.until(lambda: host.total == 7)

    def test_ends_a_stream_whose_line_has_no_end(self, host: Host) -> None:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.settimeout(10)
            sender.connect(str(host.stream))
            sender.sendall(b"x" * (STREAM_LINE_BYTES_MAX + 1))
            assert sender.recv(1) == b""

    def test_takes_datagrams_at_a_loopback_port(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        host = Host(tmp_path, port=port)
        with closing(host.probe), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            sender.send(b"orders:3|c")
            host.until(lambda: host.total == 3)

    def test_gives_what_came_again_until_it_is_stored(self, host: Host) -> None:
        host.scan()
        host.send(b"orders:5|c")
        until = time.monotonic() + 15
        while host.scan(stored=False).counters["shop"]["transactions"] != 5:
            assert time.monotonic() < until
        host.send(b"orders:1|c")
        host.until(lambda: host.total == 6)

    def test_says_that_sampled_counters_are_estimates(self, host: Host) -> None:
        host.scan()
        host.send(b"orders:1|c|@0.1")
        host.until(lambda: host.total == 10)
        assert host.quality() == "estimated"
        host.scan()
        assert host.quality() == "exact"

    def test_says_that_it_was_away_and_keeps_gauges(self, host: Host) -> None:
        host.scan()
        assert host.quality() == "lower_bound"
        assert host.marks == {"inlet-restarted"}
        host.send(b"sessions:12|g")
        host.until(lambda: "shop" in host.last.gauges)
        host.probe.close()
        host.start()
        host.scan()
        assert host.quality() == "lower_bound"
        assert host.last.gauges["shop"]["users.concurrent"] == 12
        assert host.last.measured["shop"]["users.concurrent"] == Measured("exact", "statsd/1.9")
        host.scan()
        assert host.quality() == "exact"

    def test_takes_the_place_of_one_that_a_killed_agent_left_behind(self, host: Host) -> None:
        name = host.folder / "left-behind"
        os.rename(host.datagrams, name)
        host.probe.close()
        os.rename(name, host.datagrams)
        host.start()
        host.send(b"orders:2|c")
        host.until(lambda: host.total == 2)

    def test_carries_fractions(self, host: Host) -> None:
        host.send(*[b"orders:0.1|c"] * 25)
        host.until(lambda: host.total == 2)
        host.send(*[b"orders:0.1|c"] * 5)
        host.until(lambda: host.total == 3)

    def test_that_cannot_be_opened_makes_its_meters_unavailable(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        probe = StatsdProbe(StatsdInlet(socket=str(tmp_path / "no" / "dir.sock")), METRICS)
        with closing(probe):
            readings = probe.read(Scan(), None, elapsed_ms=0)
        assert "no StatsD is taken" in caplog.text
        assert readings.measured["shop"]["transactions"].quality == "unavailable"
        assert readings.counters == {}

    def test_says_when_the_kernel_dropped_datagrams_at_the_port(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        host = Host(tmp_path, port=port)
        with closing(host.probe), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            host.scan()
            filler = b"x" * 60_000
            with host.probe._accumulator._lock:  # the inlet stands still meanwhile
                for _ in range(400):
                    sender.send(b"orders:1|c\n" + filler)
            sender.send(b"orders:1|c")
            until = time.monotonic() + 15
            while "datagrams-dropped" not in host.marks:
                assert time.monotonic() < until, host.last
                sender.send(b"orders:1|c")
                time.sleep(0.01)
                host.scan()
            assert host.quality() == "lower_bound"
