"""What is sent on somebody's word reaches a public address, or nothing."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenants import outward
from tests.tenants.receiving import Receiver, receiving
from tests.tenants.sockets import answering, certificate_for, dripping


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def loopback_allowed(settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Has every name resolve to these; the names that were asked for."""
    asked: list[str] = []
    numeric = socket.getaddrinfo

    def found(host: str, port: int, *more: Any, **options: Any) -> list[Any]:
        if host in addresses:
            return numeric(host, port, *more, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


def trust(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    made = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made(cafile=str(certificate)))


class TestAnAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com/",
            "ftp://example.com/",
            "https://",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]:8443/",
            "https://169.254.169.254/latest/meta-data/",
            "https://me:secret@example.com/",
            "https://example.com/#part",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://exa mple.com/",
            "https://example.com/\r\nX-Injected: 1",
            "https://exämple.com/",
            "https://example.com/" + "a" * 500,
            "nothing",
        ],
    )
    def test_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(outward.UrlNotUsable):
            outward.require_usable(url)

    def test_on_the_internet_is_taken(self) -> None:
        outward.require_usable("https://example.com:8443/hooks?for=us")

    def test_on_loopback_is_taken_where_the_setting_says_so(self, loopback_allowed: None) -> None:
        outward.require_usable("http://127.0.0.1:9000/")


class TestAName:
    @pytest.mark.parametrize(
        "addresses", [("127.0.0.1",), ("10.0.0.7",), ("93.184.216.34", "169.254.169.254"), ("::1",)]
    )
    def test_with_any_address_inside_is_not_connected_to(
        self, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
    ) -> None:
        resolves_to(monkeypatch, *addresses)
        connected: list[Any] = []
        monkeypatch.setattr(
            socket, "create_connection", lambda *given, **_: connected.append(given)
        )
        with pytest.raises(outward.NotReached, match="not on the public Internet"):
            outward.post("https://hooks.example/", b"{}", {})
        assert connected == []

    def test_is_resolved_once_and_connected_to_by_the_address_that_was_judged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = resolves_to(monkeypatch, "93.184.216.34")
        connected: list[Any] = []

        def refused(address: Any, **options: Any) -> socket.socket:
            connected.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", refused)
        with pytest.raises(outward.NotReached, match="refused"):
            outward.post("https://hooks.example/", b"{}", {})
        assert asked == ["hooks.example"]
        assert connected == [("93.184.216.34", 443)]

    def test_is_reached_at_another_of_its_addresses_where_one_leads_nowhere(
        self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, loopback_allowed: None
    ) -> None:
        # Nothing listens there: refused at once.
        resolves_to(monkeypatch, "127.0.0.99", "127.0.0.1")
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        assert outward.post(f"http://hooks.example:{port}/", b"{}", {}).status == 204

    def test_without_an_address_is_said_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(*given: Any, **options: Any) -> Any:
            raise socket.gaierror(-2, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", none)
        with pytest.raises(outward.NotReached, match="no address"):
            outward.post("https://hooks.example/", b"{}", {})


class TestAnAnswer:
    def test_is_kept_up_to_its_first_kilobyte(
        self, receiver: Receiver, loopback_allowed: None
    ) -> None:
        receiver.answers = [(500, "ä" + "x" * 100_000)]
        answer = outward.post(receiver.url, b"{}", {"X-Of": "us"})
        assert answer.status == 500
        assert answer.text == "ä" + "x" * 1_022
        assert receiver.messages[0].path == "/hooks?for=us"
        assert receiver.messages[0].headers["x-of"] == "us"

    def test_that_leads_elsewhere_is_not_followed(
        self, receiver: Receiver, loopback_allowed: None
    ) -> None:
        receiver.answers = [(302, "")]
        receiver.location = receiver.url
        assert outward.post(receiver.url, b"{}", {}).status == 302
        assert len(receiver.messages) == 1

    def test_that_drips_is_waited_for_no_longer_than_the_deadline(
        self, loopback_allowed: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outward, "DEADLINE_SECONDS", 0.5)
        with dripping() as port, pytest.raises(outward.NotReached, match="no answer within"):
            outward.post(f"http://127.0.0.1:{port}/", b"{}", {})

    def test_that_is_not_http_is_said_so(self, loopback_allowed: None) -> None:
        with (
            answering(b"SSH-2.0-OpenSSH_9.2\r\n") as port,
            pytest.raises(outward.NotReached, match="not HTTP"),
        ):
            outward.post(f"http://127.0.0.1:{port}/", b"{}", {})


class TestTls:
    def test_is_verified_for_the_name_that_was_entered(
        self, monkeypatch: pytest.MonkeyPatch, loopback_allowed: None, tmp_path: Path
    ) -> None:
        certificate = certificate_for("hooks.example", tmp_path)
        trust(monkeypatch, certificate)
        resolves_to(monkeypatch, "127.0.0.1")
        with answering(b"HTTP/1.1 204 No Content\r\n\r\n", tls=certificate) as port:
            assert outward.post(f"https://hooks.example:{port}/", b"{}", {}).status == 204
        with (
            answering(b"HTTP/1.1 204 No Content\r\n\r\n", tls=certificate) as port,
            pytest.raises(outward.NotReached, match="certificate does not hold"),
        ):
            outward.post(f"https://other.example:{port}/", b"{}", {})

    def test_of_a_certificate_that_nobody_vouches_for_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, loopback_allowed: None, tmp_path: Path
    ) -> None:
        certificate = certificate_for("hooks.example", tmp_path)
        resolves_to(monkeypatch, "127.0.0.1")
        with (
            answering(b"HTTP/1.1 204 No Content\r\n\r\n", tls=certificate) as port,
            pytest.raises(outward.NotReached, match="certificate does not hold"),
        ):
            outward.post(f"https://hooks.example:{port}/", b"{}", {})
