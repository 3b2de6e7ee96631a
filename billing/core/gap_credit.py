"""What a flat fee gives back for time that was not measured, where a plan version credits gaps.

Of a fee's share for a part of a billing period the same share is given back as of the customer's
expected time in that part was not measured, over all of the applications.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from typing import Final

from billing.core import explanation
from billing.core.exact import EXACT, quotient, shortened
from billing.core.explanation import Step, step
from billing.core.facts import duration_in_words
from billing.core.periods import NOUNS, Period
from billing.core.prices.proration import Proration
from billing.core.proration import share_of
from billing.core.rating import UnroundedLine
from billing.core.recurring import ONE, Fee, FeeBasis, fee_periods, fee_step, is_owed

# Tells the line from the fee's own, which has the same price.
NOT_MEASURED: Final = (("time", "not measured"),)
# The fact that says which time was looked at.
TIME: Final = "time"
_SECOND_US: Final = 10**6
_LABEL_LENGTH_MAX: Final = 120


class MoreMeasuredThanExpected(ValueError):
    """Time was measured that is no part of the time in which usage was expected."""


@dataclass(frozen=True, slots=True)
class ExpectedTime:
    """For how long usage of a customer's applications was expected, together, and for how long of
    that it was measured. Raises MoreMeasuredThanExpected."""

    measured_us: int = 0
    expected_us: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.measured_us <= self.expected_us:
            raise MoreMeasuredThanExpected(f"{self.measured_us} of {self.expected_us} µs")

    def plus(self, other: "ExpectedTime") -> "ExpectedTime":
        """Both together."""
        return ExpectedTime(
            self.measured_us + other.measured_us, self.expected_us + other.expected_us
        )

    @property
    def missing(self) -> Proration:
        """The share that was not measured; nothing where nothing was expected."""
        missing, expected = self.expected_us - self.measured_us, max(self.expected_us, 1)
        if gcd(missing, expected) % _SECOND_US:
            return Proration(missing, expected, "µs")
        return Proration(missing // _SECOND_US, expected // _SECOND_US)


def credited_span(fee: Fee, period: Period) -> Period | None:
    """The part of the period whose gaps give back something of the fee."""
    start = max(fee.starts_at, period.start)
    end = period.end if fee.ends_at is None else min(fee.ends_at, period.end)
    return Period(start, end) if start < end else None


def gap_credit_lines(fee: Fee, basis: FeeBasis, time: ExpectedTime) -> Iterator[UnroundedLine]:
    """What the fee gives back for `time`, that of its credited_span in the period: a line below
    zero for each fee period that it touches, on the period's own invoice, whether the fee is
    charged before or after."""
    span, missing = credited_span(fee, basis.period), time.missing
    if span is None or not missing.numerator:
        return
    for whole in fee_periods(fee, basis):
        start, end = max(span.start, whole.start), min(span.end, whole.end)
        if start < end and is_owed(fee, whole, basis):
            line = _line(_Part(fee, Period(start, end), whole, basis, time), span)
            if line.unrounded:
                yield line


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a fee period in which `time` was expected and measured."""

    fee: Fee
    span: Period
    whole: Period
    basis: FeeBasis
    time: ExpectedTime

    @property
    def share(self) -> Proration:
        """What share of the fee is for the part. A fee that is not prorated is owed whole for what
        is left of its period as its price begins."""
        whole, basis = self.whole, self.basis
        if not self.fee.model.prorated:
            whole = Period(max(self.fee.starts_at, whole.start), whole.end)
        zone = basis.cycle.time_zone
        return share_of(self.span, whole, by=basis.proration, time_zone=zone)

    @property
    def owed(self) -> Decimal:
        """What of the fee is for the part."""
        return self.share.of(self.fee.model.fee)

    def given_back(self, amount: Decimal) -> Decimal:
        """The part's share of an amount, times the share that was not measured; rounded once, to
        30 decimals, so that it is never more than the part's share."""
        share, missing = self.share, self.time.missing
        times = Decimal(share.numerator * missing.numerator)
        return quotient(EXACT.multiply(amount, times), share.denominator * missing.denominator)


def _line(part: _Part, looked_at: Period) -> UnroundedLine:
    """`looked_at` is the stretch that the part's time is that of."""
    fee, currency = part.fee, part.basis.currency
    amount = part.given_back(fee.model.fee).copy_negate()
    return UnroundedLine(
        price_id=fee.price.id,
        label=f"{fee.price.label}: credit for gaps"[:_LABEL_LENGTH_MAX],
        quantity=part.given_back(ONE).copy_negate(),
        unit=NOUNS[part.basis.interval_of(fee)],
        unrounded=amount,
        currency=currency,
        steps=(
            fee_step(fee, part.span, part.share, part.owed, part.basis),
            _missing_step(part, amount),
            explanation.unrounded(amount, currency.code),
        ),
        attributes=NOT_MEASURED,
        kind="recurring",
        facts={
            "starts_at": part.span.start.isoformat(),
            "ends_at": part.span.end.isoformat(),
            TIME: {
                "from": looked_at.start.isoformat(),
                "to": looked_at.end.isoformat(),
                "measured_us": part.time.measured_us,
                "expected_us": part.time.expected_us,
            },
        },
    )


def _duration(us: int) -> str:
    return duration_in_words(Decimal(us).scaleb(-6))


def _missing_step(part: _Part, amount: Decimal) -> Step:
    time, code, owed = part.time, part.basis.currency.code, part.owed
    missing = time.missing
    words = (
        f"Usage was not measured for {_duration(time.expected_us - time.measured_us)} of the "
        f"{_duration(time.expected_us)} in which it was expected, over all "
        f"applications: {shortened(owed)} {code} × {missing.numerator} ÷ {missing.denominator} "
        f"are given back = {shortened(amount)} {code}"
    )
    numbers: dict[str, Decimal | int] = {
        "owed": owed,
        "missing": missing.numerator,
        "expected": missing.denominator,
        "amount": amount,
    }
    return step("gaps", words, numbers)
