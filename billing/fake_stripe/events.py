"""Events: what happened, kept and delivered to each webhook endpoint that asked for it."""

import hashlib
import hmac
import json
from typing import Final

from billing.fake_stripe.books import Asked, Books, shown
from billing.fake_stripe.faults import Faults
from billing.fake_stripe.refusals import Fields

API_VERSION: Final = "2026-10-28.endive"
ENDPOINTS_MAX: Final = 16


def signature(payload: str, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: HMAC-SHA256 over time and body, as scheme v1."""
    signed = f"{timestamp}.{payload}".encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def happen(books: Books, faults: Faults, account: str, kind: str, body: Fields) -> None:
    """Keep an event of the object as it is now, and plan its deliveries; in one transaction with
    what it tells of."""
    event: Fields = {
        "id": books.new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": int(books.now()),
        "data": {"object": shown(body)},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
    endpoints = [
        endpoint
        for _, endpoint in books.found(account, Asked("webhook_endpoint"), ENDPOINTS_MAX)
        if endpoint["status"] == "enabled" and _wants(endpoint, kind)
    ]
    event["pending_webhooks"] = len(endpoints)
    books.add(account, event)
    for endpoint in endpoints:
        plan_delivery(books, faults, event, endpoint)


def _wants(endpoint: Fields, kind: str) -> bool:
    return kind in endpoint["enabled_events"] or "*" in endpoint["enabled_events"]


def plan_delivery(books: Books, faults: Faults, event: Fields, endpoint: Fields) -> None:
    """One delivery; with faults also another, later, or one that somebody else made up."""
    payload = json.dumps(event)
    subject = f"{event['type']} {event['data']['object']['id']} {endpoint['id']}"
    _plan(books, faults, event, endpoint, "true", payload, subject)
    if faults.share(f"duplicate {subject}") < faults.duplicate_percent * 100:
        _plan(books, faults, event, endpoint, "duplicate", payload, f"again {subject}")
    if faults.share(f"forged {subject}") < faults.forged_percent * 100:
        forged = _forged(books, event)
        kinds = ("forged: signed with another secret", "forged: unsigned", "forged: old")
        kind = kinds[faults.share(f"forgery {subject}") % len(kinds)]
        _plan(books, faults, forged, endpoint, kind, json.dumps(forged), f"forged {subject}")


def _plan(
    books: Books,
    faults: Faults,
    event: Fields,
    endpoint: Fields,
    kind: str,
    payload: str,
    subject: str,
) -> None:
    # Delays are what puts events out of their order.
    delay_ms = faults.share(f"delay {subject}") * faults.webhook_delay_ms_max // 10_000
    books.run(
        "INSERT INTO deliveries (event, url, secret, kind, payload, due) VALUES (?, ?, ?, ?, ?, ?)",
        event["id"], endpoint["url"], endpoint["_secret"], kind, payload,
        books.now() + delay_ms / 1000,
    )  # fmt: skip


def _forged(books: Books, event: Fields) -> Fields:
    """A payment that never was, by someone who knows what true events look like."""
    body = dict(event["data"]["object"])
    if "amount" in body:
        body |= {"status": "succeeded", "amount_received": body["amount"]}
    return event | {"id": books.new_id("evt"), "data": {"object": body}}
