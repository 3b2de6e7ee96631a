"""What the demo consists of. Everything but this machine's own customer is generated and says so
by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from billing.models import Price
from tenants.models import Member

LIVE_ENVIRONMENT: Final = "this-machine"
GENERATED_ENVIRONMENT: Final = "generated-production"


@dataclass(frozen=True, slots=True)
class Load:
    """An instance on a host; usage is for a 5-minute bucket at full load."""

    application: str
    host: str
    role: str
    cpu_ms: int
    memory_mb: int
    processes: int
    files: int
    written_kb: int
    read_kb: int
    launches: int = 0


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """A customer on a plan. Without loads it is billed for real usage. `billing`: fields of
    BillingDetails; `days` after the first of the demo it subscribes."""

    reference: str
    name: str
    plan: str
    email: str
    loads: Sequence[Load] = ()
    billing: Mapping[str, str] = field(default_factory=dict)
    days: int = 0
    discounted: bool = False
    prepaid: bool = False
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A hosting provider; `live` gives it the environment that this machine enrols into, whose
    new applications are billed to the customer of that reference. One that is `settled` has its
    documents' details and rates of tax."""

    slug: str
    name: str
    currency: str
    time_zone: str
    plans: Sequence[str]
    customers: Sequence[DemoCustomer]
    live: str | None = None
    settled: bool = False

    @property
    def staff(self) -> Sequence[tuple[str, Member.Role]]:
        """The people who run it, by e-mail."""
        roles = (Member.Role.OWNER, Member.Role.OPERATOR, Member.Role.BILLING)
        return [(f"{role.value}@{self.slug}.example", role) for role in roles]


INSTALLATION_EMAIL: Final = "installation@demo.example"

HOSTING: Final = "Managed hosting"
BUSINESS: Final = "Business hosting"
BY_THE_SECOND: Final = "By the second"
STANDARD: Final = "Standard hosting"

# What a period of the plan comes to at least.
MINIMUMS: Final[Mapping[str, str]] = {BUSINESS: "49"}

TENANTS: Final = (
    DemoTenant(
        slug="demo",
        name="Demo Hosting",
        currency="EUR",
        time_zone="Europe/Berlin",
        plans=(BY_THE_SECOND, HOSTING, BUSINESS),
        live="this-machine",
        settled=True,
        customers=(
            DemoCustomer(
                "this-machine",
                "This machine",
                BY_THE_SECOND,
                "customer@demo.example",
                billing={"legal_name": "Demo owner of this machine", "street": "Demoweg 2",
                         "postcode": "10115", "city": "Berlin", "country": "DE"},
            ),
            DemoCustomer(
                "generated-webshop",
                "Generated Webshop",
                HOSTING,
                "webshop@demo.example",
                (
                    Load("storefront", "generated-web-1", "primary", 260_000, 1_900, 24, 310,
                         9_000, 22_000, 6),
                    Load("storefront", "generated-web-2", "replica", 215_000, 1_800, 24, 290,
                         8_000, 20_000, 6),
                    Load("database", "generated-db-1", "primary", 190_000, 7_800, 40, 740,
                         120_000, 45_000),
                ),
                billing={"legal_name": "Demo Webshop GmbH", "street": "Demogasse 3",
                         "postcode": "20095", "city": "Hamburg", "country": "DE",
                         "purchase_order": "DEMO-1"},
                discounted=True,
                corrected=True,
            ),
            DemoCustomer(
                "generated-bakery",
                "Generated Bakery",
                BUSINESS,
                "bakery@demo.example",
                (
                    Load("orders", "generated-web-3", "primary", 175_000, 3_200, 16, 190,
                         15_000, 60_000, 4),
                ),
                billing={"legal_name": "Demo Bakery GmbH", "street": "Demoplatz 4",
                         "postcode": "1010", "city": "Wien", "country": "AT",
                         "vat_id": "ATU12345675"},
                days=1,
                prepaid=True,
            ),
        ),
    ),
    DemoTenant(
        slug="second",
        name="Second Hosting",
        currency="USD",
        time_zone="America/New_York",
        plans=(STANDARD,),
        customers=(
            DemoCustomer(
                "generated-agency",
                "Generated Agency",
                STANDARD,
                "customer@second.example",
                (
                    Load("website", "generated-app-1", "primary", 120_000, 900, 12, 160,
                         3_000, 8_000, 2),
                ),
            ),
        ),
    ),
)  # fmt: skip


def prices_of(plan: str) -> list[Price]:
    """The plan's unsaved prices, in their order on the invoice."""
    return _PRICES[plan]()


def _hosting() -> list[Price]:
    disk = [("100", "0.0200"), ("1000", "0.0120"), (None, "0.0080")]
    return [
        _counter("CPU time", "cpu.time", "CPU-hour", "0.0240", allowance="200"),
        _gauge("Memory", "memory.used", "GB-hour", "0.0045", allowance="1000"),
        _graduated("Disk writes", "disk.written", "GB", disk),
        _counter("Disk reads", "disk.read", "GB", "0.0030", allowance="50"),
        _gauge("Processes", "processes", "process-hour", "0.00015"),
        _gauge("Open files", "files.open", "file-hour", "0.000002", allowance="100000"),
    ]


def _business() -> list[Price]:
    return [
        _by_role("CPU time", "cpu.time", "CPU-hour", {"primary": "0.0300", "*": "0.0150"}),
        _gauge("Memory", "memory.used", "GB-hour", "0.0050", allowance="100"),
        _percentile("Disk reads, 95th percentile", "disk.read", "Mbit/s", "4"),
        _package("Launches", "launches", "thousand", "0.50", size="1", allowance="2"),
    ]


def _by_the_second() -> list[Price]:
    """Dear enough for what one process does to show within a minute."""
    return [
        _counter("CPU time", "cpu.time", "CPU-second", "0.001"),
        _gauge("Memory", "memory.used", "GB-hour", "0.02"),
        _counter("Disk writes", "disk.written", "GB", "0.05"),
        _counter("Disk reads", "disk.read", "GB", "0.01"),
        _gauge("Processes", "processes", "process-hour", "0.0002"),
        _gauge("Open files", "files.open", "file-hour", "0.000005"),
    ]


def _standard() -> list[Price]:
    files = [("50", "0.0150"), (None, "0.0090")]
    return [
        _counter("CPU time", "cpu.time", "CPU-hour", "0.0310", allowance="20"),
        _gauge("Memory", "memory.used", "GiB-hour", "0.0060"),
        _graduated("File writes", "file.written", "GiB", files),
        _counter("File reads", "file.read", "GiB", "0.0040"),
        _gauge("Processes", "processes", "process-hour", "0.0002"),
        _counter("Launches", "launches", "thousand", "0.10", allowance="1"),
    ]


def _counter(label: str, meter: str, unit: str, unit_price: str, allowance: str = "0") -> Price:
    return Price(
        label=label,
        meter=meter,
        aggregation=Price.Aggregation.SUM,
        unit=unit,
        unit_price=Decimal(unit_price),
        allowance=Decimal(allowance),
    )


def _gauge(label: str, meter: str, unit: str, unit_price: str, allowance: str = "0") -> Price:
    price = _counter(label, meter, unit, unit_price, allowance)
    price.aggregation = Price.Aggregation.INTEGRAL
    return price


def _graduated(label: str, meter: str, unit: str, tiers: Sequence[tuple[str | None, str]]) -> Price:
    return Price(
        label=label,
        meter=meter,
        aggregation=Price.Aggregation.SUM,
        unit=unit,
        kind=Price.Kind.GRADUATED,
        tiers=[{"up_to": up_to, "unit_price": unit_price} for up_to, unit_price in tiers],
    )


def _by_role(label: str, meter: str, unit: str, unit_prices: Mapping[str, str]) -> Price:
    rows = [{"values": [role], "unit_price": price} for role, price in unit_prices.items()]
    return Price(
        label=label,
        meter=meter,
        aggregation=Price.Aggregation.SUM,
        unit=unit,
        kind=Price.Kind.MATRIX,
        definition={"by": ["role"], "rows": rows},
    )


def _percentile(label: str, meter: str, unit: str, unit_price: str) -> Price:
    price = _counter(label, meter, unit, unit_price)
    price.aggregation = Price.Aggregation.PERCENTILE
    return price


def _package(
    label: str, meter: str, unit: str, unit_price: str, *, size: str, allowance: str
) -> Price:
    price = _counter(label, meter, unit, unit_price, allowance)
    price.kind = Price.Kind.PACKAGE
    price.definition = {"size": size}
    return price


_PRICES: Final[Mapping[str, Callable[[], list[Price]]]] = {
    HOSTING: _hosting,
    BUSINESS: _business,
    BY_THE_SECOND: _by_the_second,
    STANDARD: _standard,
}
