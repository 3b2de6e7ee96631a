"""Fees that recur: what stands on the invoice of a billing period.

A fee recurs in an interval of its own, counted from the subscription's start as its billing
periods are: usage can be billed monthly under a yearly fee. It is owed for the time in which its
price is in force, by its share of the whole fee period.

In arrears, it stands on the invoice in whose period the fee period, or the price, ends. In
advance, it stands on the invoice in whose period the fee period before ends, so that it is asked
for when its time begins; the first one stands on the first invoice. What was paid in advance and
is not used is given back on the invoice of the period in which the price ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from billing.core import explanation
from billing.core.currencies import Currency
from billing.core.exact import plain, shortened
from billing.core.explanation import Step, step
from billing.core.periods import (
    NOUNS,
    BillingCycle,
    Interval,
    Period,
    span_in_words,
    whole_period_containing,
)
from billing.core.prices import Flat
from billing.core.prices.proration import WHOLE, Proration
from billing.core.proration import ProratedBy, share_in_words, share_of
from billing.core.rating import PriceSpec, UnroundedLine

# Two zones are at most 26 hours apart.
_ZONES_APART: Final = timedelta(hours=26)

ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Fee:
    """A flat price and the time in which it holds, [starts_at, ends_at).

    `ends_at` None: as far as is known it goes on after the billing period. A fee that is not
    prorated is owed whole by what is in force when its fee period begins.
    """

    price: PriceSpec
    model: Flat
    starts_at: datetime
    ends_at: datetime | None = None
    override: str = ""


@dataclass(frozen=True, slots=True)
class FeeBasis:
    """The billing period that is invoiced, and how fee periods are cut and shared."""

    period: Period
    cycle: BillingCycle
    currency: Currency
    proration: ProratedBy = "elapsed"

    def cycle_of(self, fee: Fee) -> BillingCycle:
        """Where the fee's periods begin."""
        return replace(self.cycle, interval=self.interval_of(fee))

    def interval_of(self, fee: Fee) -> Interval:
        """The fee's own interval, or the subscription's."""
        return fee.model.interval or self.cycle.interval

    def is_due(self, instant: datetime) -> bool:
        """Whether what falls due at `instant` stands on this period's invoice.

        A boundary belongs to the period that ends with it; the subscription's start, before
        which there is none, to the first.
        """
        if instant == self.period.start:
            return instant == self.cycle.start
        return self._from() < instant <= self.period.end

    def _from(self) -> datetime:
        """The period's start; or, where the customer moved to another time zone as it began, the
        boundary there that stands for it."""
        start = self.period.start
        if start == self.cycle.start:
            return start
        boundary = whole_period_containing(start, self.cycle).end
        moved = boundary - start <= _ZONES_APART and boundary < self.period.end
        return boundary if moved else start


def fee_lines(fee: Fee, basis: FeeBasis) -> list[UnroundedLine]:
    """What of the fee stands on the invoice: charges, and what is given back (below zero)."""
    return [line for each in fee_periods(fee, basis) for line in _lines_of(fee, each, basis)]


def _lines_of(fee: Fee, whole: Period, basis: FeeBasis) -> Iterator[UnroundedLine]:
    used = _used(fee, whole)
    if fee.model.timing == "arrears":
        if basis.is_due(used.end) and is_owed(fee, whole, basis):
            yield _line(fee, used, whole, basis)
        return
    if basis.is_due(used.start) and is_owed(fee, whole, basis):
        yield _line(fee, Period(used.start, whole.end), whole, basis)
    if fee.model.prorated and used.end < whole.end and basis.is_due(used.end):
        yield _line(fee, Period(used.end, whole.end), whole, basis, given_back=True)


def fee_periods(fee: Fee, basis: FeeBasis) -> Iterator[Period]:
    """The fee periods of which the invoice can have a part: to the one that begins as it ends."""
    cycle = basis.cycle_of(fee)
    whole = whole_period_containing(basis.period.start, cycle)
    while whole.start <= basis.period.end:
        if fee.starts_at < whole.end and (fee.ends_at is None or whole.start < fee.ends_at):
            yield whole
        whole = whole_period_containing(whole.end, cycle)


def _used(fee: Fee, whole: Period) -> Period:
    ends_at = whole.end if fee.ends_at is None else min(fee.ends_at, whole.end)
    return Period(max(fee.starts_at, whole.start), ends_at)


def is_owed(fee: Fee, whole: Period, basis: FeeBasis) -> bool:
    """Whether something is charged for the fee period."""
    return fee.model.prorated or fee.starts_at <= max(whole.start, basis.cycle.start)


def _line(
    fee: Fee, part: Period, whole: Period, basis: FeeBasis, *, given_back: bool = False
) -> UnroundedLine:
    share = WHOLE
    if fee.model.prorated:
        zone = basis.cycle.time_zone
        share = share_of(part, whole, by=basis.proration, time_zone=zone)
    amount, quantity = share.of(fee.model.fee), share.of(ONE)
    if given_back:
        # Negating by "-" would round to the context's digits.
        amount, quantity = amount.copy_negate(), quantity.copy_negate()
    return UnroundedLine(
        price_id=fee.price.id,
        label=fee.price.label,
        quantity=quantity,
        unit=NOUNS[basis.interval_of(fee)],
        unrounded=amount,
        currency=basis.currency,
        steps=(
            fee_step(fee, part, share, amount, basis, given_back=given_back),
            explanation.unrounded(amount, basis.currency.code),
        ),
        kind="recurring",
        facts={"starts_at": part.start.isoformat(), "ends_at": part.end.isoformat()},
    )


def fee_step(
    fee: Fee,
    part: Period,
    share: Proration,
    amount: Decimal,
    basis: FeeBasis,
    *,
    given_back: bool = False,
) -> Step:
    """How the fee comes to `amount` for a part of its period."""
    code = basis.currency.code
    model, noun = fee.model, NOUNS[basis.interval_of(fee)]
    span = span_in_words(part, basis.cycle.time_zone)
    words = f"{plain(model.fee)} {code} a {noun}, in {model.timing}, for {span}"
    if not share.is_whole:
        words += f", {share_in_words(share)} of it"
    if fee.override:
        words = f"The customer's own price, {fee.override}: {words}"
    if given_back:
        words = f"Given back, not used: {words}"
    numbers: dict[str, Decimal | int] = {
        "fee": fee.model.fee,
        "part": share.numerator,
        "whole": share.denominator,
        "amount": amount,
    }
    return step("fee", f"{words} = {shortened(amount)} {code}", numbers)
