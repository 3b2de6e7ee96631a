"""Every example in docs/pricing.md is what the code computes."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from billing.core.charges import rate_usage
from billing.core.currencies import currency_of
from billing.core.exact import plain
from billing.core.money import round_amount, round_lines, sum_amounts
from billing.core.prices.stretch import TierSlice
from billing.core.pricing import Graduated, PerUnit, RatedAmount, Tier, rate
from billing.core.quantity import in_unit, unit_for
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading
from tests.billing.core import pricing_page_contracts as contracts
from tests.billing.core import pricing_page_models as models
from tests.billing.core import pricing_page_usage as usage

PAGE = Path(__file__).parents[3] / "docs" / "pricing.md"

Row = list[str]

GRADUATED = Graduated(
    (
        Tier(Decimal(10), Decimal("0.50"), Decimal(1)),
        Tier(Decimal(100), Decimal("0.20"), Decimal(2)),
        Tier(None, Decimal("0.10")),
    )
)
CPU = PriceSpec(
    "cpu",
    Reading("cpu.time", "sum"),
    "CPU-hour",
    Graduated((Tier(Decimal(10), Decimal("0.05")), Tier(None, Decimal("0.04")))),
    allowance=Decimal(2),
)


def examples() -> dict[str, list[Row]]:
    """The page's example tables by name, without their headings."""
    found = re.findall(r"<!-- example: (.+?) -->\n((?:\|.*\n)+)", PAGE.read_text("utf-8"))
    return {
        name: [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
        ]
        for name, table in found
    }


def unit_row(row: Row) -> Row:
    meter, raw, unit, _ = row
    return [meter, raw, unit, plain(in_unit(int(raw), unit_for(meter, unit)))]


def per_unit_row(row: Row) -> Row:
    return [row[0], plain(rate(PerUnit(Decimal("0.04")), Decimal(row[0])).unrounded)]


def graduated_row(row: Row) -> Row:
    amount = rate(GRADUATED, Decimal(row[0]))
    return [row[0], *(in_tier(amount, tier) for tier in (1, 2, 3)), plain(amount.unrounded)]


def in_tier(amount: RatedAmount, tier: int) -> str:
    return plain(
        sum_amounts(
            [
                part.amount
                for part in amount.slices
                if isinstance(part, TierSlice) and part.number == tier
            ]
        )
    )


def allowance_row(row: Row) -> Row:
    amount = rate(GRADUATED, Decimal(row[0]), allowance=Decimal(5))
    figures = (amount.raw_included, amount.raw_billable, amount.unrounded)
    return [row[0], *(plain(figure) for figure in figures)]


def application_rows(rows: list[Row]) -> list[Row]:
    """Each application's line, and the line that one application with all usage would have."""
    *parts, together = rows
    return [*charged(parts), *charged([together])]


def charged(rows: list[Row]) -> list[Row]:
    reading = Reading("cpu.time", "sum")
    usage = [UsageQuantity(row[0], row[0], reading, int(row[1]) * 3_600_000_000) for row in rows]
    charged_rows = []
    for row, line in zip(rows, rate_usage([CPU], usage, "EUR").lines, strict=True):
        tiers = {"1": "0", "2": "0"}
        included = Decimal(0)
        for step in line.steps:
            numbers = dict(step.numbers)
            if step.kind == "included":
                included = Decimal(numbers["raw_here"]) / 3_600_000_000
            if step.kind == "tier":
                tiers[numbers["tier"]] = numbers["quantity"]
        charged_rows.append([row[0], row[1], plain(included), *tiers.values(), plain(line.amount)])
    return charged_rows


def rounding_row(row: Row) -> Row:
    euro = currency_of("EUR")
    lines = [Decimal(cell) for cell in row[:3]]
    total = round_amount(sum_amounts(lines), euro)
    figures = (sum_amounts(lines), total, *round_lines(lines, euro))
    return [*row[:3], *(str(figure) for figure in figures)]


def each(compute: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [compute(row) for row in rows]


COMPUTED: dict[str, Callable[[list[Row]], list[Row]]] = {
    "units": each(unit_row),
    "per unit": each(per_unit_row),
    "graduated": each(graduated_row),
    "volume": each(models.volume_row),
    "package": each(models.package_row),
    "matrix": each(models.matrix_row),
    "percentage": each(models.percentage_row),
    "allowance": each(allowance_row),
    "limits": each(models.limits_row),
    "roll-over": models.roll_over_rows,
    "roll-over-terms": models.roll_over_terms_rows,
    "parts": each(models.parts_row),
    "applications": application_rows,
    "roles": usage.role_rows,
    "primaries": usage.primary_rows,
    "gaps": usage.gap_rows,
    "time-weighted": each(models.weighted_row),
    "rank": each(usage.rank_row),
    "percentile and peak": each(usage.interval_row),
    "corrections": usage.correction_rows,
    "allocation": usage.allocation_rows,
    "late allocation": usage.late_allocation_rows,
    "rounding": each(rounding_row),
    "periods": each(contracts.period_row),
    "proration": each(contracts.proration_row),
    "at once": contracts.at_once_rows,
    "fees": contracts.fee_rows,
    "credit for gaps": contracts.gap_credit_rows,
    "least": each(models.least_row),
    "order": contracts.order_rows,
    "discounts": contracts.discount_rows,
}


class TestPricingPage:
    def test_has_no_example_that_nothing_recomputes(self) -> None:
        assert list(examples()) == list(COMPUTED)

    @pytest.mark.parametrize("name", COMPUTED)
    def test_example_is_what_is_computed(self, name: str) -> None:
        rows = examples()[name]

        assert rows
        assert COMPUTED[name](rows) == rows
