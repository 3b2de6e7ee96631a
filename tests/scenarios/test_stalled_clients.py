"""Clients that stop in the middle of a request hold nobody up for long."""

import socket
import time
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from config.runtime.web_worker import STALL_S
from tests.scenarios.parts import web

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 8
BATCH = (
    b"POST /api/v1/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 5000\r\n\r\n"
)


@pytest.mark.parametrize("sent", [b"POST /api/v1/bat", BATCH + b"{"], ids=["head", "body"])
def test_others_are_served_once_the_stalled_are_given_up(sent: bytes) -> None:
    with web() as (_, url), ExitStack() as stalled:
        address = urlsplit(url).hostname, urlsplit(url).port
        for _ in range(THREADS + 2):
            connection = stalled.enter_context(socket.create_connection(address))
            connection.sendall(sent)
        began = time.monotonic()
        with urllib.request.urlopen(f"{url}/health/", timeout=60) as answer:  # noqa: S310  our own server
            assert answer.status == 200
        # Two rounds, for those that had to queue.
        assert time.monotonic() - began < 2 * STALL_S + 10


def test_a_batch_without_a_signature_is_answered_before_it_is_there() -> None:
    with web() as (_, url):
        address = urlsplit(url).hostname, urlsplit(url).port
        with socket.create_connection(address) as connection:
            connection.sendall(BATCH)
            began = time.monotonic()
            assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
        assert time.monotonic() - began < STALL_S
