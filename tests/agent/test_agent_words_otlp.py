"""What applications send by OTLP is answered once it is safe, and counted once."""

import gzip
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words.config import Metric, OtlpInlet
from hostmeter_agent.words.otlp import OtlpProbe
from hostmeter_agent.words.otlp_inlet import BODY_BYTES_MAX, CONNECTIONS_MAX, INFLATED_BYTES_MAX

from tests.agent.otlp_requests import (
    END,
    NANO,
    fixed,
    message,
    number,
    orders,
    point,
    request,
    sessions,
    sum_of,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SHOP = (("service.name", re.compile("^shop$")),)
ORDERS = Metric("otlp", "shop", "orders", "transactions", where=SHOP)
SERVED = Metric("otlp", "shop", "http.server.request.duration", "launches", where=SHOP)
SESSIONS = Metric("otlp", "shop", "sessions", "users.concurrent", version=4)


@dataclass
class Host:
    """An agent with an OTLP inlet on a unix socket."""

    folder: Path
    metrics: tuple[Metric, ...] = (ORDERS, SERVED, SESSIONS)
    state: object = None
    total: int = 0
    marks: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = self.folder / "otlp.sock"
        self.journal = self.folder / "otlp.journal"
        self.start()

    def start(self) -> None:
        inlet = OtlpInlet(socket=str(self.path), mode=0o600)
        self.probe = OtlpProbe(inlet, self.metrics, self.journal)

    def kill(self) -> None:
        """What a killed agent leaves: its socket's name and its journal, with nothing flushed."""
        name = self.folder / "left-behind"
        os.rename(self.path, name)
        self.probe.close()
        os.rename(name, self.path) if name.exists() else None

    def restart(self) -> None:
        self.probe.close()
        self.start()

    def scan(self, *, after_ms: int = 10_000, stored: bool = True) -> Readings:
        readings = self.probe.read(Scan(), self.state, elapsed_ms=after_ms)
        if stored:
            self.state = json.loads(json.dumps(readings.state))
            self.probe.stored()
            self.total += readings.counters.get("shop", {}).get("transactions", 0)
            self.marks.append(readings.marks.get("shop", set()))
        return readings

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        connection = HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.path))
        with closing(connection):
            yield connection

    def post(
        self, body: bytes, kind: str = PROTOBUF, path: str = "/v1/metrics", **headers: str
    ) -> int:
        with self.connection() as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, body, {"Content-Type": kind, **named})
            return _status(connection.getresponse())


def _status(answer: HTTPResponse) -> int:
    answer.read()
    return answer.status


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    with closing(host.probe):
        host.scan()
    host.start()
    yield host
    host.probe.close()


LATER = 4_000_000_000 * NANO  # series that begin after the inlet was first opened


class TestCounters:
    def test_count_from_their_first_point_when_they_are_older_than_the_inlet(
        self, host: Host
    ) -> None:
        assert host.post(orders(100)) == 200
        readings = host.scan()
        assert readings.measured["shop"]["transactions"] == Measured("lower_bound", "otlp/1")
        assert readings.marks["shop"] == {"series-begins"}
        host.post(orders(130, time=END + 1))
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 30
        assert readings.measured["shop"]["transactions"] == Measured("exact", "otlp/1")

    def test_count_whole_when_they_began_later_or_anew(self, host: Host) -> None:
        host.post(orders(100, start=LATER, time=LATER + 1))
        assert host.scan().counters["shop"]["transactions"] == 100
        host.post(orders(105, start=LATER + 5, time=LATER + 6))
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 105
        assert readings.marks["shop"] == {"counter-reset"}

    def test_from_before_the_inlet_was_off_or_the_host_enrolled_anew_are_not_counted_again(
        self, host: Host
    ) -> None:
        host.post(orders(100, start=LATER, time=LATER + 1))
        assert host.scan().counters["shop"]["transactions"] == 100
        host.state = None
        host.restart()
        readings = host.scan()
        assert readings.counters.get("shop", {}).get("transactions", 0) == 0
        host.post(orders(7, start=LATER + 5, time=LATER + 6))
        assert host.scan().counters["shop"]["transactions"] == 7

    def test_that_never_came_are_unavailable_and_silent_ones_zero(self, host: Host) -> None:
        assert host.scan().measured["shop"]["transactions"].quality == "unavailable"
        host.post(orders(1, start=LATER, time=LATER + 1))
        host.scan()
        assert host.scan().counters["shop"]["transactions"] == 0

    def test_of_other_services_are_not_taken(self, host: Host) -> None:
        one = sum_of("orders", point(fixed(6, 5), start=LATER, time=LATER + 1))
        assert host.post(request(one, service="books")) == 200
        assert "shop" not in host.scan().counters

    def test_take_the_count_of_a_histogram(self, host: Host) -> None:
        data = message(1, fixed(2, LATER) + fixed(3, LATER + 1) + fixed(4, 9)) + number(2, 2)
        host.post(request(message(1, b"http.server.request.duration") + message(9, data)))
        assert host.scan().counters["shop"]["launches"] == 9

    def test_of_deltas_count_each_point_once_though_it_is_sent_again(self, host: Host) -> None:
        for count, time in ((5, 1), (5, 1), (7, 2), (5, 1), (3, 4), (2, 3), (2, 3)):
            host.post(orders(count, time=END + time, temporality=1))
            host.scan()
        assert host.total == 5 + 7 + 3 + 2

    def test_are_given_again_until_they_are_stored(self, host: Host) -> None:
        host.post(orders(100, start=LATER, time=LATER + 1))
        assert host.scan(stored=False).counters["shop"]["transactions"] == 100
        host.post(orders(101, start=LATER, time=LATER + 2))
        assert host.scan().counters["shop"]["transactions"] == 101
        assert host.scan().counters["shop"]["transactions"] == 0


class TestGauges:
    def test_are_the_sum_of_the_fresh_series(self, host: Host) -> None:
        host.post(sessions(4))
        host.post(sessions(3, region="us"))
        host.post(sessions(5, time=END + 1))
        readings = host.scan()
        assert readings.gauges["shop"]["users.concurrent"] == 8
        assert readings.measured["shop"]["users.concurrent"] == Measured("exact", "otlp/1.4")
        readings = host.scan(after_ms=301_000)
        assert readings.measured["shop"]["users.concurrent"].quality == "unavailable"


class TestTheInlet:
    def test_keeps_what_it_answered_when_the_agent_is_killed(self, host: Host) -> None:
        for turn in range(1, 20):
            body = orders(10 * turn, start=LATER, time=LATER + turn)
            assert host.post(body) == 200
            if turn % 3 == 0:
                host.scan(stored=False)
            if turn % 4 == 0:
                host.scan()
            host.kill()
            host.start()
            assert host.post(body) == 200  # as if the answer had been lost
        host.scan()
        assert host.total == 190

    def test_keeps_deltas_too_and_says_that_it_was_away(self, host: Host) -> None:
        for turn in range(1, 10):
            body = orders(10, time=END + turn, temporality=1)
            host.post(body)
            if turn % 2:
                host.scan()
            host.kill()
            host.start()
            host.post(body)
        host.scan()
        assert host.total == 90
        assert host.marks[-1] == {"inlet-restarted"}

    def test_forgets_its_journal_only_with_what_is_stored(self, host: Host) -> None:
        host.post(orders(1, start=LATER, time=LATER + 1))
        host.scan(stored=False)
        former = host.state
        host.scan()
        host.post(orders(2, start=LATER, time=LATER + 2))
        host.restart()
        assert host.scan().counters["shop"]["transactions"] == 1
        assert former != host.state

    @pytest.mark.parametrize(
        ("kind", "path", "body", "headers", "status"),
        [
            (PROTOBUF, "/v1/metrics", gzip.compress(orders(1), mtime=0),
             {"Content_Encoding": "gzip"}, 200),
            (JSON, "/v1/metrics", b"{}", {}, 200),
            (JSON, "/v1/metrics", b"{", {}, 400),
            (PROTOBUF, "/v1/metrics", b"\x0a\x7f", {}, 400),
            (PROTOBUF, "/v1/metrics", b"x", {"Content_Encoding": "gzip"}, 400),
            (PROTOBUF, "/v1/metrics", b"x", {"Content_Encoding": "br"}, 415),
            ("text/plain", "/v1/metrics", b"x", {}, 415),
            (PROTOBUF, "/v1/traces", b"", {}, 404),
            (PROTOBUF, "/v1/metrics", b"", {"Content_Length": str(BODY_BYTES_MAX + 1)}, 413),
            (PROTOBUF, "/v1/metrics", gzip.compress(bytes(INFLATED_BYTES_MAX + 1), mtime=0),
             {"Content_Encoding": "gzip"}, 413),
        ],
    )  # fmt: skip
    def test_answers_as_the_protocol_asks(
        self, host: Host, kind: str, path: str, body: bytes, headers: dict[str, str], status: int
    ) -> None:
        assert host.post(body, kind, path, **headers) == status

    def test_takes_chunked_bodies_and_many_requests_on_one_connection(self, host: Host) -> None:
        with host.connection() as connection:
            for turn in range(1, 4):
                body = orders(turn, start=LATER, time=LATER + turn)
                connection.request(
                    "POST", "/v1/metrics", iter([body[:7], body[7:]]),
                    {"Content-Type": PROTOBUF}, encode_chunked=True,
                )  # fmt: skip
                assert _status(connection.getresponse()) == 200
        assert host.scan().counters["shop"]["transactions"] == 3

    def test_sends_away_more_connections_than_it_serves(self, host: Host) -> None:
        opened = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS_MAX + 1)]
        try:
            for one in opened:
                one.settimeout(10)
                one.connect(str(host.path))
            answer = opened[-1].recv(1_000).decode()
            assert answer.startswith("HTTP/1.1 503 Service Unavailable\r\n")
            assert "Retry-After: 5\r\n" in answer
        finally:
            for one in opened:
                one.close()

    def test_has_the_mode_that_was_asked_for_and_leaves_no_name_behind(self, host: Host) -> None:
        assert host.path.stat().st_mode & 0o777 == 0o600
        host.probe.close()
        assert not host.path.exists()
        host.start()

    def test_leaves_a_socket_alone_on_which_another_process_listens(
        self, host: Host, caplog: pytest.LogCaptureFixture
    ) -> None:
        second = OtlpProbe(OtlpInlet(socket=str(host.path)), (ORDERS,), host.folder / "second")
        with closing(second):
            readings = second.read(Scan(), None, elapsed_ms=0)
        assert "another process listens there" in caplog.text
        assert readings.measured["shop"]["transactions"].quality == "unavailable"
        assert readings.marks["shop"] == {"inlet-closed"}
        assert host.post(orders(1)) == 200

    def test_tells_senders_to_come_again_when_the_disk_is_full(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writing = os.pwrite

        def full(file: int, data: bytes, at: int) -> int:
            writing(file, data[:5], at)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        body = orders(8, start=LATER, time=LATER + 1)
        assert host.post(body) == 503
        monkeypatch.setattr(os, "pwrite", writing)
        assert host.post(body) == 200
        host.restart()
        assert host.scan().counters["shop"]["transactions"] == 8
