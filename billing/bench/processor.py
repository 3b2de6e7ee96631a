"""The fake Stripe, the web server and a worker beside this process, all of one campaign."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings

from billing.bench.owed import SLUG
from billing.bench.processes import Worker, celery_worker
from billing.fake_stripe import DEMO_KEY
from metering.bench.together import BenchFailed
from metering.bench.web import web

WORKERS: Final = 2
# What makes the product look: a payment that it may not have heard of otherwise.
EVENTS: Final = (
    "payment_intent.created",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
)
_START_S: Final = 30
_STOP_S: Final = 30


@dataclass(frozen=True, slots=True)
class Fake:
    """What a campaign asks of the fake besides what the product does."""

    port: int

    def saved_card(self, customer: str, card: str) -> str:
        """A test card saved for a customer; its id."""
        form = urlencode({"customer": customer})
        path = f"/v1/payment_methods/{card}/attach"
        return str(self._asked("POST", path, form, "application/x-www-form-urlencoded")["id"])

    def fail(self, faults: Mapping[str, int]) -> None:
        self._asked("POST", "/_fake/faults", json.dumps(faults))

    def put_clock_forward(self, seconds: int) -> None:
        self._asked("POST", "/_fake/clock", json.dumps({"forward_s": seconds}))

    def deliveries(self) -> dict[str, dict[str, int]]:
        """How many webhooks of each kind are in each state."""
        found: dict[str, dict[str, int]] = self._asked("GET", "/_fake/deliveries")
        return found

    def charges(self) -> list[dict[str, Any]]:
        """Every charge that took money."""
        found: list[dict[str, Any]] = []
        after, has_more = 0, True
        while has_more:
            page = self._asked("GET", f"/_fake/charges?after={after}")
            found += page["charges"]
            after, has_more = page["after"], page["has_more"]
        return found

    def _asked(self, method: str, path: str, body: str = "", kind: str = "application/json") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {DEMO_KEY}", "Content-Type": kind}
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchFailed(f"the fake Stripe answers {method} {path} with {answer.status}")
        return json.loads(text)


@dataclass(frozen=True, slots=True)
class Processor:
    fake: Fake
    worker: Worker


@contextmanager
def processor() -> Iterator[Processor]:
    """Within it payments of this process and of its children go to a fake of their own, whose
    webhooks come back by the product's web server and its worker. Raises BenchFailed."""
    port = _free_port()
    queue = f"payments-{os.getpid()}"
    variables = {
        "STRIPE_API_BASE": f"http://127.0.0.1:{port}",
        "STRIPE_SECRET_KEY": "",
        "STRIPE_WEBHOOK_SECRET": "",
        # Nobody else's workers: they know nothing of this database.
        "CELERY_QUEUE": queue,
    }
    with TemporaryDirectory() as name, _settings(variables):
        folder = Path(name)
        with (
            web() as server,
            celery_worker(queue, WORKERS, folder / "worker.log") as worker,
            _fake(port, folder, f"http://127.0.0.1:{server.address[1]}/webhooks/stripe/{SLUG}/"),
        ):
            yield Processor(Fake(port), worker)


@contextmanager
def _settings(variables: Mapping[str, str]) -> Iterator[None]:
    names = ("STRIPE_API_BASE", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")
    before = {name: getattr(settings, name) for name in names}
    environment = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    for name in names:
        setattr(settings, name, variables[name])
    try:
        yield
    finally:
        for name in names:
            setattr(settings, name, before[name])
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _fake(port: int, folder: Path, webhook: str) -> Iterator[None]:
    log = folder / "fake.log"
    command = [sys.executable, "-m", "billing.fake_stripe", "--port", str(port)]
    command += ["--state", str(folder / "stripe.sqlite3"), "--webhook", webhook]
    command += [option for event in EVENTS for option in ("--event", event)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=Path(settings.BASE_DIR), stdout=file, stderr=file, start_new_session=True
        )
    try:
        _wait_until_listening(process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while b"Listening on " not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchFailed("the fake Stripe did not start")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
