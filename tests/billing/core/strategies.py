"""Random prices and usage for the properties."""

from decimal import Decimal
from itertools import accumulate

from hypothesis import strategies as st

from billing.core.pricing import Graduated, PerUnit, Tier
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading


def decimals(places: int, below: int) -> st.SearchStrategy[Decimal]:
    """Decimals from zero to below `below` with up to `places` decimals."""
    return st.integers(0, below * 10**places - 1).map(lambda n: Decimal(n).scaleb(-places))


unit_prices = st.one_of(decimals(2, 10), decimals(12, 10))
flat_fees = st.one_of(st.just(Decimal(0)), decimals(2, 50))
allowances = st.one_of(st.just(Decimal(0)), decimals(3, 100))
quantities = st.integers(0, 10**7)


@st.composite
def graduated_prices(draw: st.DrawFn) -> Graduated:
    """Graduated prices of up to five tiers."""
    widths = draw(st.lists(st.integers(1, 500), max_size=4))
    bounds: list[Decimal | None] = [Decimal(bound) / 4 for bound in accumulate(widths)]
    return Graduated(
        tuple(Tier(bound, draw(unit_prices), draw(flat_fees)) for bound in [*bounds, None])
    )


price_models = st.one_of(unit_prices.map(PerUnit), graduated_prices())

CPU_HOUR_US = 3_600_000_000

CPU = PriceSpec(
    id="cpu",
    reading=Reading("cpu.time", "sum"),
    unit="CPU-hour",
    model=Graduated((Tier(Decimal(10), Decimal("0.05")), Tier(None, Decimal("0.04")))),
    allowance=Decimal(2),
    label="CPU time",
)

METERS = [
    (Reading("cpu.time", "sum"), "CPU-hour"),
    (Reading("memory.used", "integral"), "GiB-hour"),
    (Reading("memory.used.max", "maximum"), "GB"),
    (Reading("transactions", "sum"), "thousand"),
]


def used(application: str, hours: int) -> UsageQuantity:
    """So many CPU-hours of an application."""
    return UsageQuantity(f"id-{application}", application, METERS[0][0], hours * CPU_HOUR_US)


@st.composite
def prices(draw: st.DrawFn) -> list[PriceSpec]:
    """A plan of up to four prices, some of them on the same meter."""
    chosen = draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=4))
    return [
        PriceSpec(str(number), *price, draw(price_models), draw(allowances))
        for number, price in enumerate(chosen)
    ]


@st.composite
def usages(draw: st.DrawFn) -> list[UsageQuantity]:
    """A period's usage of up to five applications."""
    keys = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from([reading for reading, _ in METERS])),
            unique=True,
            max_size=12,
        )
    )
    # Two applications share each name: the id decides between them.
    return [
        UsageQuantity(str(number), f"app {number // 2}", reading, draw(st.integers(0, 10**15)))
        for number, reading in keys
    ]


codes = st.sampled_from(["EUR", "JPY", "KWD"])
