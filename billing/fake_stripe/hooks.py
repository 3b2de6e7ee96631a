"""Webhook endpoints, and events as they can be asked for."""

from typing import Final
from urllib.parse import urlsplit

from billing.fake_stripe.books import Asked, shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.events import ENDPOINTS_MAX
from billing.fake_stripe.refusals import Fields, invalid

CREATE_PARAMS: Final = frozenset(
    {"api_version", "description", "enabled_events", "metadata", "url"}
)
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def create_endpoint(call: Call) -> Fields:
    return add_endpoint(call, secret=f"whsec_{call.books.new_id('fake')}")


def add_endpoint(call: Call, *, secret: str) -> Fields:
    """Raises Refused for an address that is not of this machine: what is made up here must not
    reach anybody else."""
    url = call.text("url") or ""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise invalid(
            "The fake Stripe delivers to this machine only: http://127.0.0.1:PORT/…", param="url"
        )
    if len(call.books.found(call.account, Asked("webhook_endpoint"), ENDPOINTS_MAX)) >= (
        ENDPOINTS_MAX
    ):
        raise invalid(f"There are {ENDPOINTS_MAX} webhook endpoints already", param="url")
    endpoint = call.made(
        "we",
        "webhook_endpoint",
        api_version=call.text("api_version"),
        description=call.text("description"),
        enabled_events=call.fields["enabled_events"],
        metadata=metadata(call),
        status="enabled",
        url=url,
        _secret=secret,
    )
    call.books.add(call.account, endpoint)
    return shown(endpoint) | {"secret": secret}


def retrieve_endpoint(call: Call) -> Fields:
    return shown(call.one("webhook_endpoint", "webhook endpoint", call.ids[0]))


def delete_endpoint(call: Call) -> Fields:
    endpoint = call.one("webhook_endpoint", "webhook endpoint", call.ids[0])
    call.books.remove(call.account, endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def retrieve_event(call: Call) -> Fields:
    return shown(call.one("event", "event", call.ids[0]))
