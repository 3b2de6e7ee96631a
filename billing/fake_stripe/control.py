"""What only a fake has, below /_fake/: faults on demand, the books in one piece, the clock."""

import json
from dataclasses import asdict
from typing import Final

from billing.fake_stripe.answers import Answer, Desk
from billing.fake_stripe.delivery import tally
from billing.fake_stripe.faults import read_faults
from billing.fake_stripe.refusals import Fields, Refused, invalid

CLOCK_FORWARD_S_MAX: Final = 400 * 24 * 3600
_CHARGES_AT_ONCE: Final = 5_000


def control(desk: Desk, method: str, path: str, query: Fields, body: bytes) -> Answer:
    """Answers a request of the one who runs the fake. Raises Refused."""
    match method, path:
        case "GET", "/_fake/faults":
            return Answer(200, asdict(desk.faults))
        case "POST", "/_fake/faults":
            desk.faults = read_faults(_object(body))
            return Answer(200, asdict(desk.faults))
        case "POST", "/_fake/clock":
            return _put_clock_forward(desk, _object(body))
        case "GET", "/_fake/deliveries":
            return Answer(200, tally(desk.books))
        case "GET", "/_fake/charges":
            return _charges(desk, query)
    raise Refused(404, "invalid_request_error", f"There is no {method} {path[:80]}")


def _object(body: bytes) -> Fields:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        raise invalid("The body has to be JSON") from None
    if not isinstance(given, dict):
        raise invalid("The body has to be a JSON object")
    return given


def _put_clock_forward(desk: Desk, given: Fields) -> Answer:
    seconds = given.get("forward_s")
    if type(seconds) is not int or not 0 < seconds <= CLOCK_FORWARD_S_MAX:
        raise invalid(f"forward_s has to be from 1 to {CLOCK_FORWARD_S_MAX}", param="forward_s")
    desk.books.put_clock_forward(seconds)
    return Answer(200, {"now": int(desk.books.now())})


def _charges(desk: Desk, query: Fields) -> Answer:
    """Every charge that took money, of all accounts, oldest first; `after` is the last one seen."""
    after = str(query.get("after", "0"))
    if not after.isdecimal():
        raise invalid("after has to be a number", param="after")
    rows = desk.books.run(
        "SELECT seq, account, body FROM objects WHERE kind = 'charge' AND seq > ?"
        " ORDER BY seq LIMIT ?",
        int(after), _CHARGES_AT_ONCE,
    )  # fmt: skip
    charges = [(seq, account, json.loads(text)) for seq, account, text in rows]
    return Answer(
        200,
        {
            "charges": [
                {"account": account} | {
                    name: charge[name]
                    for name in ("id", "amount", "amount_refunded", "currency", "customer",
                                 "metadata", "payment_intent")
                }
                for _, account, charge in charges
                if charge["paid"]
            ],
            "after": rows[-1][0] if rows else int(after),
            "has_more": len(rows) == _CHARGES_AT_ONCE,
        },
    )  # fmt: skip
