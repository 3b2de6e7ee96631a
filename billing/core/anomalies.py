"""What is unusual about an invoice before it is issued, and why, in words.

A total is compared with the same customer's earlier ones by their median and the median of the
distances to it (MAD): one bad month neither hides the next nor makes it look fine. All amounts are
Decimals of one currency; shares of coverage are millionths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Final

# With fewer, a middle says nothing.
PERIODS_MIN: Final = 3
PERIODS_LOOKED_AT: Final = 12
# Makes the MAD of a normal distribution its standard deviation (1 / Φ⁻¹(3/4)).
_MAD_SCALE: Final = Decimal("1.4826")
# Totals that are all alike differ by this part without being unusual: months differ in length.
_SPREAD_MIN: Final = Decimal("0.1")
_FAR: Final = Decimal("3.5")
_VERY_FAR: Final = Decimal(10)
_TIMES: Final = 2
_COVERAGE_MIN_PPM: Final = 980_000
_COVERAGE_BAD_PPM: Final = 800_000
_CREDIT_SHARE: Final = Decimal("0.5")
_PPM: Final = 1_000_000


class Severity(IntEnum):
    """How much a mark asks for a look; the higher, the sooner."""

    NOTE = 1
    LOOK = 2
    ALARM = 3


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One reason to look: `kind` names it for programs, `words` for people."""

    severity: Severity
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of an invoice that is about to be issued. `earlier` are the totals of the
    customer's periods before it in the same currency, the newest first; `plan_before` is empty for
    the first one. `covered_ppm` is the least of its lines' coverages, None where none is known;
    `discounted` is what discounts and credits take off, as an amount above zero."""

    total: Decimal
    currency: str
    earlier: Sequence[Decimal]
    plan: str
    plan_before: str
    covered_ppm: int | None
    discounted: Decimal
    late_hosts: Sequence[str]


def marks_of(draft: Draft) -> list[Mark]:
    """The draft's marks, the most severe first."""
    found = [
        _total_mark(draft),
        _zero_mark(draft),
        _first_mark(draft),
        _coverage_mark(draft),
        _plan_mark(draft),
        _credit_mark(draft),
        _hosts_mark(draft),
    ]
    return sorted((mark for mark in found if mark is not None), key=lambda mark: -mark.severity)


def median(amounts: Sequence[Decimal]) -> Decimal:
    """The middle one of them, or the mean of the middle two; there is at least one."""
    ordered = sorted(amounts)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def _total_mark(draft: Draft) -> Mark | None:
    earlier = draft.earlier[:PERIODS_LOOKED_AT]
    if not earlier:
        return None
    if len(earlier) < PERIODS_MIN:
        return _against_the_last(draft, earlier[0])
    usual = median(earlier)
    scattered = median([abs(amount - usual) for amount in earlier]) * _MAD_SCALE
    spread = max(scattered, abs(usual) * _SPREAD_MIN)
    away = abs(draft.total - usual)
    if away <= spread * _FAR:
        return None
    severity = Severity.ALARM if away > spread * _VERY_FAR else Severity.LOOK
    return Mark(
        severity,
        "total",
        f"{_amount(draft, draft.total)} is far {_side(draft.total, usual)} what this customer's "
        f"last {len(earlier)} periods came to, {_amount(draft, usual)} in the middle",
    )


def _against_the_last(draft: Draft, last: Decimal) -> Mark | None:
    """With one or two periods before: more than double, or less than half."""
    low, high = sorted((abs(draft.total), abs(last)))
    if low * _TIMES >= high:
        return None
    return Mark(
        Severity.LOOK,
        "total",
        f"{_amount(draft, draft.total)} is far {_side(draft.total, last)} the period before, "
        f"{_amount(draft, last)}",
    )


def _zero_mark(draft: Draft) -> Mark | None:
    if draft.total < 0:
        return Mark(
            Severity.LOOK,
            "negative",
            f"it comes to less than nothing, {_amount(draft, draft.total)}, and is issued as a "
            "credit note",
        )
    if draft.total:
        return None
    paid_before = any(draft.earlier[:1])
    return Mark(
        Severity.LOOK if paid_before else Severity.NOTE,
        "zero",
        "it comes to nothing, and the period before did not"
        if paid_before
        else "it comes to nothing",
    )


def _first_mark(draft: Draft) -> Mark | None:
    if draft.earlier:
        return None
    return Mark(Severity.NOTE, "first", "it is this customer's first invoice")


def _coverage_mark(draft: Draft) -> Mark | None:
    covered = draft.covered_ppm
    if covered is None or covered >= _COVERAGE_MIN_PPM:
        return None
    percent = Decimal(covered * 100) / _PPM
    severity = Severity.ALARM if covered < _COVERAGE_BAD_PPM else Severity.LOOK
    return Mark(severity, "coverage", f"usage was measured for {percent:.1f}% of the time only")


def _plan_mark(draft: Draft) -> Mark | None:
    if not draft.plan_before or draft.plan_before == draft.plan:
        return None
    return Mark(
        Severity.NOTE, "plan", f"the plan is {draft.plan} now and was {draft.plan_before} before"
    )


def _credit_mark(draft: Draft) -> Mark | None:
    full = draft.total + draft.discounted
    if draft.discounted <= 0 or draft.discounted <= full * _CREDIT_SHARE:
        return None
    return Mark(
        Severity.LOOK,
        "credit",
        f"discounts and corrections take {_amount(draft, draft.discounted)} off "
        f"{_amount(draft, full)}",
    )


def _hosts_mark(draft: Draft) -> Mark | None:
    if not draft.late_hosts:
        return None
    shown = ", ".join(draft.late_hosts[:3])
    more = f" and {len(draft.late_hosts) - 3} more" if len(draft.late_hosts) > 3 else ""
    verb = "has" if len(draft.late_hosts) == 1 else "have"
    return Mark(
        Severity.LOOK, "hosts", f"{shown}{more} {verb} not delivered to the period's end yet"
    )


def _side(amount: Decimal, other: Decimal) -> str:
    return "above" if amount > other else "below"


def _amount(draft: Draft, amount: Decimal) -> str:
    return f"{amount:,.2f} {draft.currency}"
