"""Random contracts of every price model and aggregation, and random usage for them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Final, get_args

from hypothesis import strategies as st

from billing.core.commitment import CommitmentPart
from billing.core.contract import Contract, priced_spans
from billing.core.currencies import currency_of
from billing.core.discounts import DiscountTerm
from billing.core.periods import Period
from billing.core.prices import Flat, Graduated, Matrix, Package, Percentage, PerUnit, Volume
from billing.core.prices.matrix import Row
from billing.core.prices.percentage import AppliesTo
from billing.core.prices.proration import Proration
from billing.core.prices.tiers import Tier
from billing.core.quantity import unit_of
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading
from tests.billing.core.agreements import OCTOBER, contract, terms
from tests.billing.core.strategies import allowances, codes, decimals, flat_fees, unit_prices

READINGS: Final = (
    (Reading("cpu.time", "sum"), "CPU-hour"),
    (Reading("memory.used", "integral"), "GiB-hour"),
    (Reading("memory.used", "integral"), "GB-hour"),
    (Reading("processes", "integral"), "process-hour"),
    (Reading("memory.used.max", "maximum"), "GB"),
    (Reading("disk.written", "percentile"), "Mbit/s"),
    (Reading("users.concurrent", "peak"), "user"),
    (Reading("transactions", "unique", distinct="instance"), "one"),
)
BY_ROLE: Final = Reading("transactions", "sum", by=("role",))
ROLES: Final = ("primary", "replica", "standby")
RAWS: Final = st.one_of(st.integers(0, 100), st.integers(0, 10**13), st.integers(0, 10**18))


@st.composite
def _tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    widths = draw(st.lists(st.integers(1, 500), max_size=3))
    bounds: list[Decimal | None] = [Decimal(bound) / 4 for bound in accumulate(widths)]
    return tuple(Tier(bound, draw(unit_prices), draw(flat_fees)) for bound in [*bounds, None])


_per_unit = unit_prices.map(PerUnit)
_graduated = _tiers().map(Graduated)
_package = st.builds(Package, st.integers(1, 4000).map(lambda n: Decimal(n) / 8), unit_prices)
MONOTONE: Final = st.one_of(_per_unit, _graduated, _package)
CUMULATIVE: Final = st.one_of(MONOTONE, _tiers().map(Volume))
AMOUNTS: Final = decimals(2, 1000)


@st.composite
def _limits(draw: st.DrawFn, price: PriceSpec) -> PriceSpec:
    """The price with or without a minimum and a maximum."""
    minimum = draw(st.none() | AMOUNTS)
    maximum = draw(st.none() | AMOUNTS)
    if minimum is not None and maximum is not None:
        minimum, maximum = sorted((minimum, maximum))
    return replace(price, minimum=minimum, maximum=maximum)


@st.composite
def metered_prices(draw: st.DrawFn, number: int, *, monotone: bool = False) -> PriceSpec:
    """A price of one of the models that charge usage."""
    name = f"meter-{number}"
    if draw(st.integers(0, 4)) == 0:
        rows = tuple(Row((role,), draw(unit_prices)) for role in ROLES[:2])
        matrix = Matrix(("role",), rows, default=draw(unit_prices))
        price = PriceSpec(name, BY_ROLE, "thousand", matrix, label=name, code=name)
        return draw(_limits(price))
    reading, unit = draw(st.sampled_from(READINGS))
    model = draw(MONOTONE if monotone else CUMULATIVE)
    price = PriceSpec(name, reading, unit, model, draw(allowances), label=name, code=name)
    return draw(_limits(price))


@st.composite
def _further_prices(
    draw: st.DrawFn, metered: Sequence[PriceSpec], *, monotone: bool
) -> list[PriceSpec]:
    """A fee and a percentage beside the metered prices, or not. A free part of each line is not
    monotone: usage moves money from the line of a minimum to the line of the usage."""
    further = []
    if draw(st.booleans()):
        fee = Flat(draw(AMOUNTS), draw(st.sampled_from(["advance", "arrears"])))
        further.append(PriceSpec("fee", None, "", fee, label="fee", code="fee"))
    if draw(st.booleans()):
        of = tuple(price.code for price in [*metered, *further])
        applies_to = draw(st.sampled_from(get_args(AppliesTo)))
        each_free = monotone and applies_to == "each"
        percentage = Percentage(
            draw(decimals(4, 100)), of, applies_to, Decimal(0) if each_free else draw(flat_fees)
        )
        price = PriceSpec("percent", None, "", percentage, label="percent", code="percent")
        further.append(draw(_limits(price)))
    return further


@st.composite
def plans(draw: st.DrawFn, *, monotone: bool = False) -> list[PriceSpec]:
    """Up to three metered prices, a fee and a percentage."""
    count = draw(st.integers(1, 3))
    metered = [draw(metered_prices(number, monotone=monotone)) for number in range(count)]
    return [*metered, *draw(_further_prices(metered, monotone=monotone))]


INSTANTS: Final = st.integers(1, 31 * 288 - 1).map(
    lambda bucket: OCTOBER.start + bucket * timedelta(minutes=5)
)


def named(prices: Sequence[PriceSpec], version: str) -> list[PriceSpec]:
    return [replace(price, id=f"{version}-{price.id}") for price in prices]


@st.composite
def _discounts(draw: st.DrawFn, *, monotone: bool) -> list[DiscountTerm]:
    """Up to two. One of certain prices is not monotone below a plan's minimum, which it is not
    taken from."""
    found = []
    for number in range(draw(st.integers(0, 2))):
        only = frozenset({"meter-0"}) if not monotone and draw(st.booleans()) else frozenset()
        percent = draw(st.none() | st.integers(1, 10_000).map(lambda n: Decimal(n) / 100))
        amount = Decimal(draw(st.integers(1, 10_000))) / 100 if percent is None else None
        found.append(DiscountTerm(str(number), "less", percent=percent, amount=amount, codes=only))
    return found


@st.composite
def contracts(draw: st.DrawFn, *, monotone: bool = False) -> Contract:
    """October under one version, or under two of which the second takes effect at once."""
    prices = draw(plans(monotone=monotone))
    minimum = str(draw(flat_fees))
    parts = [terms(*prices, minimum=minimum)]
    if draw(st.booleans()):
        cut = draw(INSTANTS)
        later = named(draw(plans(monotone=monotone)), "later")
        parts = [
            terms(*prices, span=Period(OCTOBER.start, cut), minimum=minimum),
            terms(*later, span=Period(cut, OCTOBER.end), version="v2"),
        ]
    committed = draw(st.none() | AMOUNTS)
    agreed = contract(
        *parts,
        discounts=tuple(draw(_discounts(monotone=monotone))),
        commitment=None
        if committed is None
        else CommitmentPart(committed, OCTOBER, Proration(), draw(flat_fees)),
    )
    return replace(agreed, currency=currency_of(draw(codes)))


def raws_of(reading: Reading, unit: str) -> st.SearchStrategy[int]:
    """Any quantity, and often one that lies on a bound, an allowance or a package's end, or just
    beside it: all of them are eighths of a unit."""
    eighth = Fraction(unit_of(reading, unit).raw_per_unit, 8)
    near = st.builds(
        lambda number, beside: max(int(number * eighth) + beside, 0),
        st.integers(0, 4_000),
        st.integers(-1, 1),
    )
    return st.one_of(RAWS, near)


@st.composite
def usage_of(draw: st.DrawFn, prices: Sequence[PriceSpec]) -> list[UsageQuantity]:
    """What up to three applications used of all that the prices read."""
    found = []
    units = {price.reading: price.unit for price in prices if price.reading}
    for reading, unit in units.items():
        for application in range(draw(st.integers(0, 3))):
            roles = ROLES[: draw(st.integers(1, 3))] if reading.by else ("",)
            found += [
                UsageQuantity(
                    str(application),
                    f"app {application // 2}",
                    reading,
                    draw(raws_of(reading, unit)),
                    (("role", role),) if role else (),
                )
                for role in roles
            ]
    return found


@st.composite
def rated_cases(
    draw: st.DrawFn, *, monotone: bool = False
) -> tuple[Contract, Mapping[Period, Sequence[UsageQuantity]]]:
    """A contract and the usage of each span of it."""
    agreed = draw(contracts(monotone=monotone))
    prices: dict[Period, list[PriceSpec]] = {}
    for each in priced_spans(agreed):
        prices.setdefault(each.span, []).append(each.price)
    return agreed, {span: draw(usage_of(own)) for span, own in prices.items()}
