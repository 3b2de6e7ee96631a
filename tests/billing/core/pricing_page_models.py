"""The examples of docs/pricing.md on the price models, their limits and what is owed at least."""

from collections.abc import Sequence
from decimal import Decimal
from typing import get_args

from billing.core.allowance import PeriodUse, carried_over
from billing.core.charges import PeriodTerms, usage_lines
from billing.core.commitment import CommitmentPart, MinimumPart, minimum_line, true_up_line
from billing.core.exact import ZERO, plain
from billing.core.money import sum_amounts
from billing.core.prices import (
    CumulativeModel,
    Graduated,
    Matrix,
    Package,
    Percentage,
    PerUnit,
    Volume,
)
from billing.core.prices.matrix import Row as MatrixRow
from billing.core.prices.percentage import AppliesTo
from billing.core.prices.proration import Proration
from billing.core.prices.stretch import PackageSlice, TierSlice
from billing.core.prices.tiers import Tier
from billing.core.pricing import Part, rate, rate_part, rate_stretch
from billing.core.quantity import in_unit, unit_for
from billing.core.rating import PriceSpec, UsageQuantity
from tests.billing.core.agreements import CPU_HOUR_US, CPU_TIME, EURO, OCTOBER, charge

Row = list[str]

TIERS = (
    Tier(Decimal(10), Decimal("0.50"), Decimal(1)),
    Tier(Decimal(100), Decimal("0.20"), Decimal(2)),
    Tier(None, Decimal("0.10")),
)
PACKAGE = Package(Decimal(100), Decimal(5))
MATRIX = Matrix(
    ("role", "region"),
    (
        MatrixRow(("primary", "fra"), Decimal("0.05")),
        MatrixRow(("primary", "*"), Decimal("0.04")),
        MatrixRow(("replica", "*"), Decimal("0.02")),
    ),
    default=Decimal("0.03"),
)


def volume_row(row: Row) -> Row:
    amount = rate(Volume(TIERS), Decimal(row[0]))
    tiers = [str(part.number) for part in amount.slices if isinstance(part, TierSlice)]
    return [row[0], "".join(tiers), plain(amount.unrounded)]


def package_row(row: Row) -> Row:
    amount = rate(PACKAGE, Decimal(row[0]), allowance=Decimal(50))
    packages = sum(part.packages for part in amount.slices if isinstance(part, PackageSlice))
    return [row[0], plain(amount.raw_billable), str(packages), plain(amount.unrounded)]


def matrix_row(row: Row) -> Row:
    role, region, units, *_ = row
    model = MATRIX.per_unit((("role", role), ("region", region)))
    amount = rate(model, Decimal(units)).unrounded
    return [role, region, units, plain(model.unit_price), plain(amount)]


def percentage_row(row: Row) -> Row:
    amounts = [Decimal(cell) for cell in row[:2]]
    return [*row[:2], *(_percentages(amounts, applies_to) for applies_to in get_args(AppliesTo))]


def _percentages(amounts: Sequence[Decimal], applies_to: AppliesTo) -> str:
    model = Percentage(Decimal(10), ("cpu",), applies_to, Decimal(5))
    charged = [plain(model.charge(base)) for base in model.bases(amounts) if base]
    return " + ".join(charged) or "nothing"


def limits_row(row: Row) -> Row:
    share = Proration(1, 2 if row[0] == "half" else 1)
    price = PriceSpec(
        "cpu", CPU_TIME, "CPU-hour", PerUnit(Decimal("0.333")), code="cpu",
        minimum=Decimal(10), maximum=share.of(Decimal(20)),
    )  # fmt: skip
    usage = [
        UsageQuantity(name, name, CPU_TIME, int(hours) * CPU_HOUR_US)
        for name, hours in zip(("api", "web"), row[1:3], strict=True)
    ]
    lines = usage_lines([price], usage, "EUR", PeriodTerms(in_use=share))
    charged = [plain(line.unrounded) for line in lines if line.kind == "usage"]
    lacking = [line.unrounded for line in lines if line.kind == "minimum"]
    return [*row[:3], *charged, plain(sum_amounts(lacking))]


def roll_over_rows(rows: list[Row]) -> list[Row]:
    used = [int(row[1]) for row in rows]
    included, computed = Decimal(100), []
    earlier = [PeriodUse(included, Decimal(quantity), 2) for quantity in used]
    for number, quantity in enumerate(used):
        carried = sum_amounts(carried_over(earlier[:number]))
        part = Part(ZERO, Decimal(quantity), carried=carried)
        billable = rate_stretch(PerUnit(Decimal(1)), part, included, 1).raw_billable
        onward = sum_amounts(carried_over(earlier[: number + 1]))
        figures = (carried, billable, onward)
        computed.append([str(number + 1), str(quantity), *(plain(each) for each in figures)])
    return computed


def roll_over_terms_rows(rows: list[Row]) -> list[Row]:
    earlier: list[PeriodUse] = []
    computed = []
    for number, included, rolls_over, used, *_ in rows:
        period = PeriodUse(Decimal(included), Decimal(used), int(rolls_over))
        carried = sum_amounts(carried_over(earlier)) if period.rolls_over else ZERO
        part = Part(ZERO, period.used, carried=carried)
        billable = rate_stretch(PerUnit(Decimal(1)), part, period.included, 1).raw_billable
        earlier.append(period)
        figures = (carried, billable, sum_amounts(carried_over(earlier)))
        computed.append([number, included, rolls_over, used, *(plain(each) for each in figures)])
    return computed


def parts_row(row: Row) -> Row:
    models: dict[str, tuple[CumulativeModel, Decimal]] = {
        "graduated": (Graduated(TIERS), ZERO),
        "volume": (Volume(TIERS), ZERO),
        "package": (PACKAGE, Decimal(50)),
    }
    model, allowance = models[row[0]]
    bounds = [(0, 60), (60, 120)]
    parts = [
        rate_part(model, Decimal(start), Decimal(end), allowance=allowance).unrounded
        for start, end in bounds
    ]
    whole = rate(model, Decimal(120), allowance=allowance).unrounded
    assert sum_amounts(parts) == whole
    return [row[0], *(plain(each) for each in (*parts, whole))]


SECONDS = {"h": 3_600, "min": 60}
METERS = {"GB-hour": ("memory.used", 10**9), "process-hour": ("processes", 1)}


def weighted_row(row: Row) -> Row:
    unit = row[4].split()[1]
    meter, size = METERS[unit]
    raw = 0
    for level, lasting in (row[:2], row[2:4]):
        length, of = lasting.split()
        raw += int(Decimal(level.split()[0]) * size) * int(length) * SECONDS[of]
    return [*row[:4], f"{plain(in_unit(raw, unit_for(meter, unit)))} {unit}"]


def least_row(row: Row) -> Row:
    kind, agreed, days, before, here, _ = row
    part_days, whole_days = (int(each) for each in days.split(" of "))
    share = Proration(part_days, whole_days, "days")
    lines = [charge(here)]
    if kind == "minimum":
        line = minimum_line(lines, [MinimumPart(Decimal(agreed), share)], EURO)
    else:
        committed = CommitmentPart(Decimal(agreed), OCTOBER, share, Decimal(before))
        line = true_up_line(lines, committed, EURO)
    return [*row[:5], "0" if line is None else plain(line.unrounded)]
