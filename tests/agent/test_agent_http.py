"""The agent's own HTTP client, HTTP dates and signatures, against what others say they are."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hostmeter_agent.server.ed25519 import Cryptography, OpenSsl, PrivateKey
from hostmeter_agent.server.http_date import http_date
from hostmeter_agent.server.transport import (
    ANSWER_BYTES_MAX,
    Answer,
    ServerUnreachable,
    parse_server,
)
from hypothesis import given
from hypothesis import strategies as st

YEARS = range(1970, 9_999)
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(*parts: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads one request, sends the parts one by one and closes: its URL, and what
    was asked."""
    asked: list[bytes] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                asked.append(connection.recv(65_536))
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/base", asked
        finally:
            thread.join()


def ask(*parts: bytes) -> Answer:
    with answering(*parts) as (url, _):
        server = parse_server(url)
        return server.post(server.path("/x"), b"body", {})


class TestAnswers:
    def test_a_whole_one(self) -> None:
        head = b'ETag: "7"\r\nRETRY-AFTER: 30\r\nDate: now\r\nContent-Length: 2\r\n\r\n'
        assert ask(OK + head + b"{}") == Answer(200, "30", b"{}", '"7"', "now")

    def test_one_that_comes_byte_by_byte(self) -> None:
        whole = OK + b"Content-Length: 5\r\n\r\nhello"
        assert ask(*(whole[at : at + 1] for at in range(len(whole)))).body == b"hello"

    def test_one_in_chunks(self) -> None:
        chunks = b"5\r\nhello\r\n6;extension=1\r\n world\r\n0\r\n\r\n"
        assert ask(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks).body == b"hello world"

    def test_one_that_ends_with_the_connection(self) -> None:
        assert ask(OK + b"\r\nhello").body == b"hello"

    def test_one_that_is_announced(self) -> None:
        assert ask(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n").body == b""

    def test_not_modified_has_no_body_whatever_its_length_says(self) -> None:
        assert ask(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n").status == 304

    def test_is_cut_at_the_bound(self) -> None:
        much = b"x" * (ANSWER_BYTES_MAX + 10)
        assert len(ask(OK + b"\r\n" + much).body) == ANSWER_BYTES_MAX

    @pytest.mark.parametrize(
        "answer",
        [
            b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", OK,
            OK + b"Content-Length: 10\r\n\r\nhello", OK + b"Content-Length: many\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\nfive\r\nhello",
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"x" * 200_000,
            b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", b"HTTP/1.1 " + b"2" * 5_000 + b" OK\r\n\r\n",
            OK + b"Content-Length: " + b"1" * 5_000 + b"\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
            OK + b'ETag: "7"\nContent-Length: 0\r\n\r\n',
        ],
    )  # fmt: skip
    def test_what_is_none_is_no_answer(self, answer: bytes) -> None:
        with pytest.raises(ServerUnreachable):
            ask(answer)

    @pytest.mark.parametrize(
        "body", [b"[" * 200_000, b'{"detail": ' + b"9" * 5_000 + b"}", b"\xff\xfe"]
    )
    def test_a_body_that_is_no_json_says_its_status(self, body: bytes) -> None:
        assert ask(b"HTTP/1.1 400 Bad Request\r\n\r\n" + body).detail() == "HTTP status 400"

    def test_half_a_character_in_a_reason_can_be_stored(self) -> None:
        body = rb'{"detail": "no \ud800 way"}'
        assert ask(b"HTTP/1.1 400 Bad Request\r\n\r\n" + body).detail() == "no ? way"


class TestRequests:
    def test_says_what_it_wants(self) -> None:
        with answering(OK + b"Content-Length: 0\r\n\r\n") as (url, asked):
            server = parse_server(url)
            server.send("POST", server.path("/x"), b"body", {"Content-Type": "text/plain"})
        head, _, body = asked[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /base/x HTTP/1.1"
        assert f"Host: {url.split('/')[2]}" in lines
        assert "Content-Type: text/plain" in lines
        assert "Content-Length: 4" in lines
        assert body == b"body"

    def test_a_get_has_no_length(self) -> None:
        with answering(OK + b"Content-Length: 0\r\n\r\n") as (url, asked):
            parse_server(url).send("GET", "/x", b"", {})
        assert b"Content-Length" not in asked[0]

    def test_nobody_there(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            with pytest.raises(ServerUnreachable, match="refused"):
                parse_server(url).post("/x", b"", {})


class TestDates:
    @given(moment=st.datetimes(timezones=st.just(UTC)), year=st.sampled_from(YEARS))
    def test_are_read_as_they_are_written(self, moment: datetime, year: int) -> None:
        moment = moment.replace(year=year, day=min(moment.day, 28), microsecond=0)
        assert http_date(format_datetime(moment, usegmt=True)) == moment

    @pytest.mark.parametrize("text", ["", "now", "Sun, 99 Nov 1994 08:49:37 GMT", "1700000000"])
    def test_are_refused_when_they_are_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            http_date(text)


class TestSignatures:
    @given(raw=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300))
    def test_by_python_s_own_openssl_are_the_package_s(self, raw: bytes, message: bytes) -> None:
        ours, theirs = OpenSsl(), Cryptography()
        assert ours.sign(raw, message) == theirs.sign(raw, message)
        assert ours.public(raw) == theirs.public(raw)

    def test_hold_for_a_key_that_was_made_here_and_for_nothing_else(self) -> None:
        key = PrivateKey.generate()
        public = Ed25519PublicKey.from_public_bytes(key.public_bytes())
        public.verify(key.sign(b"message"), b"message")
        with pytest.raises(InvalidSignature):
            public.verify(key.sign(b"message"), b"massage")

    def test_a_key_has_32_bytes(self) -> None:
        with pytest.raises(ValueError, match="31"):
            PrivateKey(bytes(31))
