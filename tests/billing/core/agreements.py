"""Contracts for the properties and examples: October 2026 in UTC, prices in EUR."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from billing.core.contract import Contract
from billing.core.currencies import currency_of
from billing.core.exact import plain
from billing.core.periods import BillingCycle, Period
from billing.core.prices import Flat, PerUnit, PriceModel
from billing.core.rating import NO_PROVENANCE, PriceSpec, UnroundedLine, UsageQuantity
from billing.core.readings import Reading
from billing.core.spans import PriceInForce, Terms
from tests.billing.timeline import at

EURO = currency_of("EUR")
OCTOBER = Period(at(10, 1), at(11, 1))
CYCLE = BillingCycle(at(1, 1), "UTC")
CPU_TIME = Reading("cpu.time", "sum")
DISK = Reading("disk.written", "sum")
CPU_HOUR_US = 3_600_000_000


def cpu(unit_price: str = "1", *, price_id: str = "cpu", allowance: str = "0") -> PriceSpec:
    return metered(PerUnit(Decimal(unit_price)), price_id=price_id, allowance=allowance)


def metered(model: PriceModel, *, price_id: str = "cpu", allowance: str = "0") -> PriceSpec:
    return PriceSpec(
        id=price_id,
        reading=CPU_TIME,
        unit="CPU-hour",
        model=model,
        allowance=Decimal(allowance),
        label="CPU time",
        code="cpu",
    )


def disk(unit_price: str = "1") -> PriceSpec:
    model = PerUnit(Decimal(unit_price))
    return PriceSpec("disk", DISK, "GB", model, label="Disk writes", code="disk")


def basic_fee(amount: str, *, price_id: str = "fee") -> PriceSpec:
    return PriceSpec(price_id, None, "", Flat(Decimal(amount)), label="Basic fee", code="fee")


def terms(
    *prices: PriceSpec,
    span: Period = OCTOBER,
    version: str = "Hosting v1",
    minimum: str = "0",
    trial: bool = False,
    override: str = "",
) -> Terms:
    in_force = tuple(PriceInForce(price, override) for price in prices)
    return Terms(span, version, in_force, Decimal(minimum), trial)


def contract(*parts: Terms, **more: object) -> Contract:
    return Contract(OCTOBER, CYCLE, EURO, parts, **more)  # type: ignore[arg-type]


def cut(*instants: datetime) -> list[Period]:
    """October in parts."""
    bounds = [OCTOBER.start, *instants, OCTOBER.end]
    return [Period(start, end) for start, end in pairwise(bounds)]


def cpu_hours(hours: int, application: str = "web") -> UsageQuantity:
    return UsageQuantity(f"id-{application}", application, CPU_TIME, hours * CPU_HOUR_US)


def disk_gigabytes(amount: int) -> UsageQuantity:
    return UsageQuantity("id-web", "web", DISK, amount * 10**9)


def charge(amount: str, price_id: str | None = "cpu", label: str = "CPU time") -> UnroundedLine:
    return UnroundedLine(
        label=label,
        unrounded=Decimal(amount),
        currency=EURO,
        price_id=price_id,
        provenance=NO_PROVENANCE,
    )


def amounts(lines: Sequence[UnroundedLine]) -> list[tuple[str, str]]:
    """What each line is and comes to."""
    return [(line.kind, plain(line.unrounded)) for line in lines]
