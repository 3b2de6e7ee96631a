"""Events that the processor sends: genuine or not."""

import json
from dataclasses import dataclass
from typing import Final

import stripe

TOLERANCE_S: Final = 300
BYTES_MAX: Final = 512 * 1024


class NotGenuine(Exception):
    """Unsigned, wrongly signed, too old, or no event."""


@dataclass(frozen=True, slots=True)
class Event:
    """`object_type` and `object_id` say what it is about: payment_intent pi_…, refund re_….
    `attempt_key` is what we noted there."""

    id: str
    type: str
    object_type: str
    object_id: str
    customer_id: str
    attempt_key: str
    body: str


def read_event(body: bytes, signature: str, secret: str) -> Event:
    """The event, if it was signed with `secret` in the last minutes. Raises NotGenuine."""
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, signature, secret, TOLERANCE_S)
        return parse_event(text)
    except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError) as error:
        raise NotGenuine("the event is not signed by Stripe") from error


def parse_event(body: str) -> Event:
    """Raises ValueError, KeyError and TypeError for what is no event."""
    event = json.loads(body)
    about = event["data"]["object"]
    return Event(
        str(event["id"]),
        str(event["type"]),
        str(about["object"]),
        str(about.get("id") or ""),
        str(about.get("customer") or ""),
        str((about.get("metadata") or {}).get("attempt") or ""),
        body,
    )
