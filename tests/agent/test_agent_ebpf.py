"""On this machine's own kernel: what the eBPF program counts is what a web server has answered."""

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from hostmeter_agent.kernel.flows import Flow, HostFlows

from metering.bench.webserver import (
    WebServer,
    control_group,
    free_ports,
    load,
    running_in,
    wait_for_port,
    web_server,
)
from tests import needs


class Counting:
    """What one control group has counted since it was last asked."""

    def __init__(
        self, flows: HostFlows, group: Path, settle: Callable[[], None] = lambda: None
    ) -> None:
        self._flows = flows
        self._settle = settle
        self._number = group.stat().st_ino
        self._last = Flow()

    def since(self) -> Flow:
        self._settle()
        (counted,) = self._flows.read().values()
        now = counted.get(self._number, Flow())
        pairs = zip(now.words(), self._last.words(), strict=True)
        self._last = now
        return Flow(*(a - b for a, b in pairs))

    def peers(self) -> set[bytes]:
        return self._flows.peers().get(self._number, set())


@pytest.fixture(scope="module")
def flows() -> Iterator[HostFlows]:
    needs.capability(*needs.EBPF)
    opened = HostFlows(needs.cgroup2(), None)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    needs.web_server()
    with (
        control_group("hostmeter-web") as group,
        web_server(tmp_path_factory.mktemp("web") / "server", group) as server,
    ):
        yield server


@pytest.fixture
def counting(flows: HostFlows, server: WebServer) -> Counting:
    counting = Counting(flows, server.group, server.settle)
    counting.since()
    server.forget()
    return counting


def curl(*arguments: str | Path) -> None:
    subprocess.run(["curl", "-sSk", *arguments], check=True, stdout=subprocess.DEVNULL)


def test_the_words_of_a_flow_are_its_fields() -> None:
    assert len(Flow().words()) == len(fields(Flow))


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("listener", ["plain", "deferred", "tls"])
def test_every_request_of_http_1_is_one_transaction(
    counting: Counting, server: WebServer, listener: str, keep_alive: bool
) -> None:
    scheme = "https" if listener == "tls" else "http"
    url = f"{scheme}://127.0.0.1:{getattr(server, listener)}/small"

    load(url, seconds=1, keep_alive=keep_alive)

    counted = counting.since()
    assert counted.transactions == server.answered() > 50
    assert counted.irregular == 0
    assert counted.accepted >= (10 if keep_alive else counted.transactions)


def test_a_response_of_many_segments_counts_once(counting: Counting, server: WebServer) -> None:
    load(f"http://127.0.0.1:{server.plain}/big", seconds=1, connections=10)

    counted = counting.since()
    assert counted.transactions == server.answered() > 50
    assert counted.irregular == 0
    # The client hangs up when its second is over: the last answer of each connection may be cut.
    assert counted.sent_bytes > 300_000 * (counted.transactions - 10)


def test_ipv6_is_counted(counting: Counting, server: WebServer) -> None:
    curl(f"http://[::1]:{server.plain}/small", f"http://[::1]:{server.plain}/small")

    counted = counting.since()
    assert (counted.transactions, counted.accepted, counted.irregular) == (2, 1, 0)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize("bytes_", [3_000, 200_000, 2_000_000])
def test_an_upload_of_many_segments_counts_once(
    counting: Counting, server: WebServer, tmp_path: Path, version: str, expect: str, bytes_: int
) -> None:
    """New connections and used ones, in the clear and not, with an interim answer and without."""
    body = tmp_path / "body"
    body.write_bytes(bytes(range(200)) * (bytes_ // 200))
    options = ("--http1.1", "--tls-max", version, "-H", expect, "-T", body)

    for _ in range(5):
        curl(*options, *[f"http://127.0.0.1:{server.plain}/upload"] * 2)
        curl(*options, *[f"https://127.0.0.1:{server.tls}/upload"] * 2)

    counted = counting.since()
    assert counted.transactions == server.answered() == 20
    assert counted.irregular == 0


def test_a_client_that_offers_http_2_to_a_server_without_it_is_regular(
    counting: Counting, server: WebServer
) -> None:
    for _ in range(5):
        curl("--http2", *[f"https://127.0.0.1:{server.tls}/small"] * 3)

    counted = counting.since()
    assert (counted.transactions, counted.irregular) == (15, 0)


@pytest.mark.parametrize("streams", [1, 10])
@pytest.mark.parametrize("listener", ["plain_h2", "tls_h2"])
def test_http_2_is_marked(
    counting: Counting, server: WebServer, listener: str, streams: int
) -> None:
    scheme = "https" if listener == "tls_h2" else "http"
    for _ in range(5):
        subprocess.run(
            ["h2load", "-n300", "-c1", f"-m{streams}",
             f"{scheme}://127.0.0.1:{getattr(server, listener)}/small"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert counting.since().irregular >= 1
    assert server.answered() == 1_500


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_http_2_of_a_client_that_asks_once_is_marked(
    counting: Counting, server: WebServer, version: str
) -> None:
    for _ in range(5):
        curl("--http2", "--tls-max", version, f"https://127.0.0.1:{server.tls_h2}/small")
        assert counting.since().irregular >= 1


def test_http_2_of_a_client_that_knows_it_beforehand_is_marked(
    counting: Counting, server: WebServer
) -> None:
    curl("--http2-prior-knowledge", f"http://127.0.0.1:{server.plain_h2}/small")

    assert counting.since().irregular >= 1


REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@contextmanager
def busy(server: WebServer) -> Iterator[None]:
    """The server does not get to answer meanwhile."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def drain(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_pipelined_http_1_in_one_segment_is_marked(counting: Counting, server: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", server.plain)) as connection:
        connection.sendall(REQUEST * 2 + LAST)
        assert drain(connection).count(b"HTTP/1.1 200") == 3

    assert counting.since().irregular >= 1


def test_pipelined_http_1_in_a_segment_each_is_marked(
    counting: Counting, server: WebServer
) -> None:
    with socket.create_connection(("127.0.0.1", server.plain)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with busy(server):
            for _ in range(50):
                connection.sendall(REQUEST)
            connection.sendall(LAST)
        assert drain(connection).count(b"HTTP/1.1 200") == 51

    assert counting.since().irregular >= 1


def test_pipelined_http_1_in_records_of_tls_is_marked(
    counting: Counting, server: WebServer
) -> None:
    context = ssl.create_default_context(cafile=server.folder / "cert.pem")
    with (
        socket.create_connection(("127.0.0.1", server.tls)) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secure,
    ):
        with busy(server):
            for _ in range(50):
                secure.sendall(REQUEST)
            secure.sendall(LAST)
        assert drain(secure).count(b"HTTP/1.1 200") == 51

    assert counting.since().irregular >= 1


def test_a_request_in_many_small_segments_is_regular(counting: Counting, server: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", server.plain)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(LAST)):
            connection.sendall(LAST[i : i + 1])
        assert drain(connection).count(b"HTTP/1.1 200") == 1

    counted = counting.since()
    assert (counted.transactions, counted.irregular) == (1, 0)


def test_a_connection_that_asks_nothing_is_no_transaction(
    counting: Counting, server: WebServer
) -> None:
    context = ssl.create_default_context(cafile=server.folder / "cert.pem")
    with (
        socket.create_connection(("127.0.0.1", server.tls)) as connection,
        context.wrap_socket(connection, server_hostname="localhost"),
    ):
        pass
    socket.create_connection(("127.0.0.1", server.plain)).close()

    assert counting.since().transactions == 0


@pytest.fixture(scope="module")
def redis() -> Iterator[tuple[Path, int]]:
    needs.root()
    needs.cgroup2()
    needs.tool("redis-benchmark", package="redis-tools")
    (port,) = free_ports(1)
    command = [
        needs.tool("redis-server", package="redis-server"),
        "--port",
        str(port),
        "--save",
        "",
        "--bind",
        "127.0.0.1",
    ]
    with control_group("hostmeter-redis") as group, running_in(group, command) as process:
        wait_for_port(port, process)
        yield group, port


def redis_benchmark(port: int, *options: str) -> None:
    subprocess.run(
        ["redis-benchmark", "-p", str(port), "-q", *options],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["ping_inline", "ping_mbulk", "set", "get", "mset"])
def test_pipelined_redis_is_marked_and_one_command_at_a_time_is_not(
    flows: HostFlows, redis: tuple[Path, int], command: str
) -> None:
    group, port = redis
    counting = Counting(flows, group)
    counting.since()

    redis_benchmark(port, "-t", command, "-n", "2000", "-P", "1")
    alone = counting.since()
    redis_benchmark(port, "-t", command, "-n", "2000", "-P", "16")
    pipelined = counting.since()

    # The benchmark itself asks for two settings in one segment before it begins.
    assert (alone.transactions, alone.irregular) == (2_001, 1)
    assert pipelined.irregular >= 100


def test_peers_are_listed_while_they_are_connected(counting: Counting, server: WebServer) -> None:
    assert counting.peers() == set()
    with (
        socket.create_connection(("127.0.0.1", server.plain)) as one,
        socket.create_connection(
            ("127.0.0.1", server.plain), source_address=("127.0.0.9", 0)
        ) as two,
    ):
        for connection in (one, two):
            connection.sendall(REQUEST)
            assert connection.recv(10) == b"HTTP/1.1 2"
        mapped = bytes(10) + b"\xff\xff"
        assert counting.peers() == {mapped + bytes((127, 0, 0, 1)), mapped + bytes((127, 0, 0, 9))}
        for connection in (one, two):
            connection.sendall(LAST)
            drain(connection)

    assert counting.peers() == set()
