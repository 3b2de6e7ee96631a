"""What goes wrong on demand. Which request it happens to follows from a seed and the request."""

import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from billing.fake_stripe.refusals import Fields, invalid

_PERCENTS: Final = (
    "answer_lost_percent",
    "request_lost_percent",
    "stored_500_percent",
    "rate_limited_percent",
    "duplicate_percent",
    "forged_percent",
)
_BOUNDS: Final = dict.fromkeys(_PERCENTS, 100) | {
    "webhook_delay_ms_max": 600_000,
    "answer_delay_ms": 60_000,
    "search_lag_s": 86_400,
    "seed": 1 << 31,
}


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    REQUEST_LOST = auto()
    """The connection breaks before anything was done."""
    ANSWER_LOST = auto()
    """All was done and kept; the connection breaks before the answer."""
    STORED_500_UNDONE = auto()
    """500, kept under the key, and nothing was done."""
    STORED_500_DONE = auto()
    """500, kept under the key, although all was done."""
    RATE_LIMITED = auto()
    """429, before the key was looked at."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Percents of requests that change something, and of deliveries of webhooks.

    `paths` are the beginnings of the addresses whose requests it happens to.
    """

    answer_lost_percent: int = 0
    request_lost_percent: int = 0
    stored_500_percent: int = 0
    rate_limited_percent: int = 0
    duplicate_percent: int = 0
    forged_percent: int = 0
    webhook_delay_ms_max: int = 0
    answer_delay_ms: int = 0
    search_lag_s: int = 0
    seed: int = 1
    paths: tuple[str, ...] = ("/v1/payment_intents", "/v1/refunds")

    def of_request(self, path: str, key: str, attempt: int) -> Fault:
        """What happens to the request with the idempotency key, tried `attempt` times before."""
        if not path.startswith(self.paths):
            return Fault.NONE
        share = self.share(f"request {key} {attempt}")
        half = self.stored_500_percent * 50
        for fault, percent_of_percent in (
            (Fault.ANSWER_LOST, self.answer_lost_percent * 100),
            (Fault.REQUEST_LOST, self.request_lost_percent * 100),
            (Fault.STORED_500_UNDONE, half),
            (Fault.STORED_500_DONE, half),
            (Fault.RATE_LIMITED, self.rate_limited_percent * 100),
        ):
            if share < percent_of_percent:
                return fault
            share -= percent_of_percent
        return Fault.NONE

    def share(self, what: str) -> int:
        """A number from 0 to 9999 that follows from the seed and the words."""
        digest = hashlib.sha256(f"{self.seed} {what}".encode()).digest()
        return int.from_bytes(digest[:8]) % 10_000


def read_faults(given: Fields) -> Faults:
    """Raises Refused with what is wrong."""
    values: Fields = {}
    for name, value in given.items():
        if name == "paths" and isinstance(value, list) and all(isinstance(p, str) for p in value):
            values[name] = tuple(value)
            continue
        most = _BOUNDS.get(name)
        if most is None:
            raise invalid(f"{name} is no fault that can be asked for", param=name)
        if type(value) is not int or not 0 <= value <= most:
            raise invalid(f"{name} has to be a whole number from 0 to {most}", param=name)
        values[name] = value
    return Faults(**values)
