"""The examples of docs/pricing.md on periods and what is agreed."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import cast, get_args

from billing.core.commitment import CommitmentPart
from billing.core.contract import contract_lines, priced_spans, recurring_lines
from billing.core.discounts import DiscountTerm, discount_lines
from billing.core.exact import ZERO, plain, shortened
from billing.core.gap_credit import ExpectedTime
from billing.core.periods import (
    Anchoring,
    BillingCycle,
    Interval,
    Period,
    billing_periods,
    boundaries,
    span_in_words,
    whole_period_containing,
)
from billing.core.prices import Flat, Percentage
from billing.core.prices.flat import Timing
from billing.core.prices.proration import Proration
from billing.core.proration import ProratedBy, share_in_words, share_of
from billing.core.rating import PriceSpec
from billing.core.recurring import Fee, FeeBasis, fee_lines
from tests.billing.core.agreements import (
    CPU_HOUR_US,
    EURO,
    OCTOBER,
    basic_fee,
    charge,
    contract,
    cpu,
    cpu_hours,
    cut,
    terms,
)
from tests.billing.timeline import at

Row = list[str]


def instant(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def period_row(row: Row) -> Row:
    start, zone, anchoring, interval = row[:4]
    cycle = BillingCycle(
        instant(start),
        zone,
        cast(Anchoring, anchoring),
        cast(Interval, interval.replace("-", "_")),
    )
    starts = islice(boundaries(cycle), 1, 3)
    return [*row[:4], *(f"{each:%Y-%m-%d %H:%M}" for each in starts)]


def proration_row(row: Row) -> Row:
    cycle = BillingCycle(instant(row[0]), "UTC")
    part, whole = next(billing_periods(cycle)), whole_period_containing(cycle.start, cycle)
    figures = []
    for by in get_args(ProratedBy):
        share = share_of(part, whole, by=by)
        figures += [share_in_words(share), plain(share.of(Decimal(31)))]
    return [row[0], span_in_words(whole, "UTC"), *figures]


def at_once_rows(rows: list[Row]) -> list[Row]:
    first, second = cut(at(10, 16, 12))
    old = (cpu("1", price_id="v1", allowance="10"), basic_fee("40", price_id="f1"))
    new = (cpu("2", price_id="v2", allowance="30"), basic_fee("60", price_id="f2"))
    agreed = contract(terms(*old, span=first), terms(*new, span=second))
    spans, fees = priced_spans(agreed), recurring_lines(agreed)
    used = {each.span: [cpu_hours(int(row[1]))] for each, row in zip(spans, rows, strict=True)}
    lines = contract_lines(agreed, used)
    return [
        [
            span_in_words(each.span, "UTC"),
            plain(line.quantity),
            plain(each.price.allowance),
            plain(line.unrounded),
            plain(fee.unrounded),
        ]
        for each, line, fee in zip(spans, lines[:2], fees, strict=True)
    ]


def fee_rows(rows: list[Row]) -> list[Row]:
    start, end = at(10, 11), at(12, 15, 12)
    cycle = BillingCycle(start, "UTC")
    periods = list(islice(billing_periods(cycle), 3))
    periods[2] = Period(periods[2].start, end)
    return [
        [f"{period.start:%B}", *(_charged(timing, period, cycle, end) for timing in TIMINGS)]
        for period in periods
    ]


TIMINGS: tuple[Timing, Timing] = ("arrears", "advance")


def _charged(timing: Timing, period: Period, cycle: BillingCycle, end: datetime) -> str:
    model = Flat(Decimal(31), timing)
    price = replace(basic_fee("31"), model=model)
    lines = fee_lines(Fee(price, model, cycle.start, end), FeeBasis(period, cycle, EURO))
    return " + ".join(plain(line.unrounded) for line in lines)


def gap_credit_rows(rows: list[Row]) -> list[Row]:
    yearly = replace(
        basic_fee("365", price_id="year"), model=Flat(Decimal(365), interval="yearly"), code="year"
    )
    agreed = contract(replace(terms(basic_fee("62"), yearly), credits_gaps=True))
    computed = []
    for row in rows:
        expected, measured = (
            sum(int(hours) for hours in cell.split(" + ")) * CPU_HOUR_US for cell in row[:2]
        )
        lines = contract_lines(agreed, {}, {OCTOBER: ExpectedTime(measured, expected)})
        given = {each.price_id: each.unrounded for each in lines if each.attributes}
        computed.append([*row[:2], *(plain(given.get(fee, ZERO)) for fee in ("fee", "year"))])
    return computed


def order_rows(rows: list[Row]) -> list[Row]:
    support = PriceSpec(
        "s", None, "", Percentage(Decimal(10), ("cpu",)), label="Support", code="support"
    )
    agreed = contract(
        terms(cpu("1"), basic_fee("20"), support, minimum="100"),
        discounts=(DiscountTerm("d", "Rebate", percent=Decimal(50)),),
        commitment=CommitmentPart(Decimal(500), OCTOBER, Proration(), Decimal(430)),
    )
    lines = contract_lines(agreed, {OCTOBER: [cpu_hours(50)]})
    return [[f"{line.kind}: {line.label}", plain(line.unrounded)] for line in lines]


def discount_rows(rows: list[Row]) -> list[Row]:
    lines = [charge("60"), charge("40", "disk", "Disk writes")]
    agreed = [
        DiscountTerm("1", "25 %", percent=Decimal(25), codes=frozenset({"cpu"})),
        DiscountTerm("2", "10 %", position=1, percent=Decimal(10)),
        DiscountTerm("3", "50", position=2, amount=Decimal(50)),
    ]
    found = discount_lines(lines, agreed, {"cpu": "cpu", "disk": "disk"})
    shown = []
    for line in found:
        discount, _, of = line.label.partition(": ")
        before = dict(line.steps[0].numbers)["before"]
        shown.append([discount, of, before, shortened(line.unrounded.copy_negate())])
    return shown
