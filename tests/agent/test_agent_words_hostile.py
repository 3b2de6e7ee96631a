"""Applications that would rather not be metered: what they tell stops nothing else from being
measured."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hostmeter_agent.words import otlp_inlet
from hostmeter_agent.words.config import Endpoint
from hostmeter_agent.words.exposition import read_page
from hostmeter_agent.words.otlp import JSON_BYTES_MAX
from hostmeter_agent.words.scraping import PageUnavailable, fetch

from tests.agent.test_agent_words_access_log import Host, combined, how, rule
from tests.agent.test_agent_words_otlp import Host as OtlpHost

LENGTH = 1_000_000
AT_MOST_SECONDS = 5.0
"""Of CPU time. In proportion to the length it takes a tenth of a second; with its square, hours."""


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize(
    "line",
    [
        "x" + " " * LENGTH + "#",
        "x{" + " " * LENGTH + "} 1",
        "x{" + "a" * LENGTH + "} 1",
        "x{" + 'a="' * LENGTH + "} 1",
        "x{" + 'a="b",' * LENGTH,
        "x{" + 'a="\\' * LENGTH + "} 1",
    ],
    ids=["spaces", "label-spaces", "label-letters", "quotes", "unclosed", "escapes"],
)
def test_a_metrics_page_is_read_in_proportion_to_its_length(line: str) -> None:
    assert cpu_seconds(lambda: read_page(line, {"x"})) < AT_MOST_SECONDS


class TestAccessLogs:
    """Whoever asks an application for a page writes into its log."""

    ENDLESS = "/" + "a/" * 40 + "!"

    def endless(self, folder: Path) -> Host:
        """Its expression tries a line such as ENDLESS in a number of ways that doubles with each
        of the line's parts."""
        host = Host(folder, rule(folder, format="regex", pattern=r"^(/?[a-z]*/?)*$|^ok"))
        host.write("ok")
        host.scan()
        return host

    def test_a_combined_line_is_read_in_proportion_to_its_length(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        host.write(*[combined(user="x" + " [a" * 20_000).replace("]", "")] * 60, combined())
        began = time.process_time()
        assert host.scan().counters["shop"]["transactions"] == 1
        assert time.process_time() - began < AT_MOST_SECONDS

    def test_a_line_made_to_take_for_ever_does_not(self, tmp_path: Path) -> None:
        host = self.endless(tmp_path)
        host.write("ok", self.ENDLESS, "ok")
        began = time.process_time()
        readings = host.scan()
        assert time.process_time() - began < AT_MOST_SECONDS
        assert readings.counters["shop"]["transactions"] == 2
        assert how(readings).quality == "lower_bound"

    def test_many_such_lines_do_not_either(self, tmp_path: Path) -> None:
        host = self.endless(tmp_path)
        host.write(*[self.ENDLESS] * 500)
        assert cpu_seconds(host.scan) < AT_MOST_SECONDS
        host.write("ok")
        assert host.scan().counters["shop"]["transactions"] == 1


@contextmanager
def dripping(parts: Iterator[bytes]) -> Iterator[Endpoint]:
    """An endpoint that answers in small parts for as long as it is read."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(0.05)
                except OSError:
                    return  # whoever asked had enough

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield Endpoint("shop", f"http://127.0.0.1:{port}/metrics", timeout_seconds=1)
        thread.join()


def endless_head() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(200):
        yield b"X-%d: x\r\n" % number


def endless_line() -> Iterator[bytes]:
    for _ in range(200):
        yield b"H"


@pytest.mark.parametrize("parts", [endless_head, endless_line])
def test_a_page_whose_head_does_not_end_is_given_up(parts: Callable[[], Iterator[bytes]]) -> None:
    with dripping(parts()) as endpoint:
        began = time.monotonic()
        with pytest.raises(PageUnavailable, match=r"takes too long|timed out"):
            fetch(endpoint)
        assert time.monotonic() - began < 3


LONG = b"9" * 5_000


class TestTheOtlpInlet:
    """Whoever may connect to it may send it anything."""

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: " + LONG,
            b"Content-Length: -1",
            b"Content-Length: \xb2",
            b"Transfer-Encoding: chunked\r\n\r\n-5",
            b"Transfer-Encoding: chunked\r\n\r\n1_0",
            b"Transfer-Encoding: chunked\r\n\r\n1\r\n{xx",
            b"Transfer-Encoding: chunked\r\n\r\n0" + b"\r\nA: b" * 200,
        ],
        ids=["digits", "negative", "letters", "chunk-negative", "chunk-score", "chunk", "trailers"],
    )
    def test_answers_a_length_that_is_none(self, inlet: OtlpHost, framing: bytes) -> None:
        assert said(inlet, framing + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")

    def test_takes_no_json_that_would_not_fit_into_its_memory(self, inlet: OtlpHost) -> None:
        body = gzip.compress(b"[" + b"{}," * (JSON_BYTES_MAX // 3) + b"{}]")
        assert inlet.post(body, "application/json", Content_Encoding="gzip") == 413

    def test_gives_a_body_up_that_does_not_come_to_its_end(
        self, inlet: OtlpHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(otlp_inlet, "BODY_SECONDS_MAX", 1)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(inlet.path))
            connection.settimeout(0.05)
            connection.sendall(b"POST /v1/metrics HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
            assert answer_while_dripping(connection).startswith(b"HTTP/1.1 408 ")


@pytest.fixture
def inlet(tmp_path: Path) -> Iterator[OtlpHost]:
    host = OtlpHost(tmp_path)
    with closing(host.probe):
        yield host


def said(inlet: OtlpHost, framing: bytes) -> bytes:
    """The inlet's answer to a request that is framed like that."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(inlet.path))
        connection.sendall(b"POST /v1/metrics HTTP/1.1\r\n" + framing)
        return connection.recv(1_000)


def answer_while_dripping(connection: socket.socket) -> bytes:
    """What comes back while a byte is sent 20 times a second, for at most 10 s."""
    for _ in range(200):
        with suppress(TimeoutError):
            return connection.recv(1_000)
        connection.sendall(b"x")
    return b""
