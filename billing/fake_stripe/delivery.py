"""Delivers webhooks: signed, again and again until the receiver says 2xx or a limit is reached."""

import http.client
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from billing.fake_stripe.books import Books
from billing.fake_stripe.events import signature

WORKERS: Final = 6
TIMEOUT_S: Final = 20
TRIES_MAX: Final = 12
RETRY_DELAY_S_MAX: Final = 60
LOOK_EVERY_S: Final = 0.2
# Older than any receiver tolerates.
OLD_S: Final = 3600
_AT_ONCE: Final = 60

_log = logging.getLogger("fake_stripe")


class Deliveries:
    """A thread that looks for what is due, and workers that send it."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._ends = threading.Event()
        self._sending: set[int] = set()
        self._sending_lock = threading.Lock()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._look, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()
        self._workers.shutdown(cancel_futures=True)

    def _look(self) -> None:
        while not self._ends.wait(LOOK_EVERY_S):
            while self._send_due() and not self._ends.is_set():
                pass

    def _send_due(self) -> bool:
        with self._sending_lock:
            busy = set(self._sending)
        rows = self._books.run(
            "SELECT id, url, secret, kind, payload, tries FROM deliveries"
            " WHERE state = 'pending' AND due <= ? ORDER BY due LIMIT ?",
            self._books.now(), _AT_ONCE,
        )  # fmt: skip
        due = [row for row in rows if row[0] not in busy]
        sent: list[Future[None]] = []
        for row in due:
            with self._sending_lock:
                self._sending.add(row[0])
            sent.append(self._workers.submit(self._send, *row))
        for each in sent:
            each.result()
        return bool(due)

    def _send(self, row: int, url: str, secret: str, kind: str, payload: str, tries: int) -> None:
        try:
            status = _posted(url, payload, _headers(secret, kind, payload))
            self._note(row, status, tries + 1, is_forged=kind.startswith("forged"))
        finally:
            with self._sending_lock:
                self._sending.discard(row)

    def _note(self, row: int, status: int, tries: int, *, is_forged: bool) -> None:
        # Who makes up a webhook tries once; what is answered is what counts.
        delivered = 200 <= status < 300
        if delivered or (is_forged and status):
            state = "delivered" if delivered else "refused"
        else:
            state = "pending" if tries < TRIES_MAX else "given up"
        due = self._books.now() + min(2 ** (tries - 1), RETRY_DELAY_S_MAX)
        self._books.run(
            "UPDATE deliveries SET state = ?, status = ?, tries = ?, due = ? WHERE id = ?",
            state, status, tries, due, row,
        )  # fmt: skip


def _headers(secret: str, kind: str, payload: str) -> dict[str, str]:
    now = int(time.time())
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (fake)"}
    match kind:
        case "forged: unsigned":
            pass
        case "forged: signed with another secret":
            headers["Stripe-Signature"] = signature(payload, "whsec_of_somebody_else", now)
        case "forged: old":
            headers["Stripe-Signature"] = signature(payload, secret, now - OLD_S)
        case _:
            headers["Stripe-Signature"] = signature(payload, secret, now)
    return headers


def _posted(url: str, payload: str, headers: dict[str, str]) -> int:
    """The receiver's status; 0 where there was no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S
    )
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target or "/", payload.encode(), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        _log.info("webhook to %s: %s", url, error)
        return 0
    finally:
        connection.close()


def tally(books: Books) -> dict[str, Any]:
    """How many deliveries of each kind are in each state."""
    found: dict[str, Any] = {}
    for kind, state, count in books.run(
        "SELECT kind, state, count(*) FROM deliveries GROUP BY kind, state ORDER BY kind, state"
    ):
        found.setdefault(kind, {})[state] = count
    return found
