"""Flat: a fee for each period, whatever is used."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from billing.core.periods import Interval, require_interval
from billing.core.prices.bounds import require_price
from billing.core.prices.proration import WHOLE, Proration

# advance: an invoice charges the fee of the period that follows its own. arrears: of its own.
Timing = Literal["advance", "arrears"]

TIMINGS: Final = ("advance", "arrears")


class TimingUnknown(ValueError):
    """A fee is charged in advance or in arrears."""


@dataclass(frozen=True, slots=True)
class Flat:
    """`fee` every interval (None: the subscription's own); a period that is in use for a share of
    its time costs that share, unless `prorated` says otherwise."""

    fee: Decimal
    timing: Timing = "arrears"
    prorated: bool = True
    interval: Interval | None = None

    def __post_init__(self) -> None:
        require_price(self.fee, "a fee")
        if self.timing not in TIMINGS:
            raise TimingUnknown(f"a fee is charged in advance or arrears, not {self.timing!r}")
        if self.interval is not None:
            require_interval(self.interval)

    def share(self, in_use: Proration) -> Proration:
        """What share of the fee is charged."""
        if self.prorated or not in_use.numerator:
            return in_use
        return WHOLE
