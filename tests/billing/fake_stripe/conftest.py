"""The fake Stripe, asked by Stripe's own library."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import stripe

from billing.fake_stripe.server import FakeStripe


@dataclass(frozen=True, slots=True)
class Shop:
    """Someone with an account at the fake."""

    client: stripe.StripeClient

    def customer(self, card: str = "pm_card_visa") -> tuple[str, str]:
        """A new customer with the card saved; their ids."""
        customer = self.client.v1.customers.create({"name": "Bob"}).id
        method = self.client.v1.payment_methods.attach(card, {"customer": customer}).id
        return customer, method

    def pay(self, customer: str, method: str, *, key: str | None = None) -> stripe.PaymentIntent:
        """Charge 12.34 EUR while the customer is away."""
        return self.client.v1.payment_intents.create(
            {
                "amount": 1234,
                "currency": "eur",
                "customer": customer,
                "payment_method": method,
                "off_session": True,
                "confirm": True,
                "metadata": {"attempt": "1"},
            },
            {"idempotency_key": key} if key else None,
        )

    def events(self) -> list[str]:
        """What happened, oldest first."""
        return [str(event.type) for event in self.client.v1.events.list({"limit": 100}).data][::-1]

    def charged(self) -> list[int]:
        return [c.amount for c in self.client.v1.charges.list({"limit": 100}).data if c.paid]


@contextmanager
def running(state: Path) -> Iterator[FakeStripe]:
    fake = FakeStripe(state)
    thread = threading.Thread(target=fake.serve)
    thread.start()
    try:
        yield fake
    finally:
        fake.stop()
        thread.join()


def client_of(fake: FakeStripe, key: str = "sk_test_alice") -> stripe.StripeClient:
    return client_at(fake.url, key)


def client_at(url: str, key: str = "sk_test_alice") -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=0)


def ask(fake: FakeStripe, path: str, body: dict[str, Any] | None = None) -> Any:
    """What only the fake answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{fake.url}/_fake/{path}", data, headers)  # noqa: S310  of this test
    with urlopen(request) as answer:  # noqa: S310  of this test
        return json.load(answer)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeStripe]:
    with running(tmp_path / "stripe.sqlite3") as server:
        yield server


@pytest.fixture
def shop(fake: FakeStripe) -> Shop:
    return Shop(client_of(fake))


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook as it arrived, and what was answered."""

    body: str
    signature: str | None
    answered: int

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


class Ear(HTTPServer):
    """A webhook endpoint. It answers with the statuses it is given, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listening)
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        self.arrived = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook/"

    def wait_for(self, count: int) -> list[Heard]:
        """The first so many webhooks. Fails where they do not come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.heard) >= count, timeout=20)
            return list(self.heard)


class _Listening(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.arrived:
            status = self.server.answers.pop(0) if self.server.answers else 200
            heard = Heard(body, self.headers.get("Stripe-Signature"), status)
            self.server.heard.append(heard)
            self.server.arrived.notify_all()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as inherited
        pass


@pytest.fixture
def ear() -> Iterator[Ear]:
    server = Ear()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
