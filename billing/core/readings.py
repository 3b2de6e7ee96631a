"""What a price reads from the metered usage, and how that becomes one quantity.

A reading is all that decides a quantity: two prices with equal readings count the same. Which
instances count, what happens where two claim to be the primary and what a gap costs stand here
because they are a plan's to say; docs/pricing.md gives the rules with examples.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, get_args

from hostmeter_agent.wire import BUCKET_SECONDS

from billing.core.exact import require_decimal
from metering.core.quality import ACCEPTED_BY_DEFAULT

# sum, integral and maximum combine a whole period's usage of one application; percentile and peak
# look at each interval first; unique counts the different values of a property.
Aggregation = Literal["sum", "integral", "maximum", "percentile", "peak", "unique"]

# not_billed: what was not measured costs nothing. held: the last known rate goes on. interpolated:
# a straight line between the values on both sides. credited: as not_billed, and the unmeasured
# share of the period's flat fees is given back.
GapPolicy = Literal["not_billed", "held", "interpolated", "credited"]

# every: all that call themselves primary are billed. one: of primaries whose windows overlap, the
# one of the instance that has been known longest.
Primaries = Literal["every", "one"]

# application: intervals are summed over an application's billable instances. customer: over all
# of the customer's applications, so that the price has one line.
Over = Literal["application", "customer"]

MATRIX_ATTRIBUTES: Final = ("role", "environment", "region", "host_class", "quality")


@dataclass(frozen=True, slots=True)
class RoleFactors:
    """What share of an instance's usage is billed, by its role: 1 fully, 0 not at all."""

    primary: Decimal = Decimal(1)
    replica: Decimal = Decimal(1)
    standby: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Which usage of one meter a price counts. Readings are equal if all that they say is.

    `interval_minutes` and `percentile` are for percentile and peak, `distinct` names the property
    whose different values unique counts. `by` is what a matrix price tells apart, of
    MATRIX_ATTRIBUTES.
    """

    meter: str
    aggregation: Aggregation
    accepts: frozenset[str] = ACCEPTED_BY_DEFAULT
    factors: RoleFactors = field(default_factory=RoleFactors)
    primaries: Primaries = "every"
    gaps: GapPolicy = "not_billed"
    interval_minutes: int = 5
    percentile: Decimal = Decimal(95)
    over: Over = "application"
    by: tuple[str, ...] = ()
    distinct: str = ""
    # Every line of an invoice is looked up by its reading, several times.
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self._said()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Reading):
            return NotImplemented
        return self._hash == other._hash and self._said() == other._said()

    def _said(self) -> tuple[object, ...]:
        return (
            *(self.meter, self.aggregation, self.accepts, self.factors, self.primaries, self.gaps),
            *(self.interval_minutes, self.percentile, self.over, self.by, self.distinct),
        )


FACTOR_DECIMALS_MAX: Final = 4
FACTOR_BELOW: Final = Decimal(100)
PERCENTILE_DECIMALS_MAX: Final = 4
DISTINCT_LENGTH_MAX: Final = 64

_BUCKET_MINUTES: Final = BUCKET_SECONDS // 60
_DAY_MINUTES: Final = 24 * 60


class ReadingNotUsable(ValueError):
    """A price cannot count usage like this: a 0th percentile, intervals that no day holds."""


def require_reading(reading: Reading) -> None:
    """Refuse what cannot be read. Whether the meter can be aggregated so is quantity's to say.

    Raises ReadingNotUsable, NumberOutOfBounds and InexactNumber.
    """
    for factor in (reading.factors.primary, reading.factors.replica, reading.factors.standby):
        require_decimal(
            factor, "a role's factor", decimals_max=FACTOR_DECIMALS_MAX, below=FACTOR_BELOW
        )
    _require_interval(reading.interval_minutes)
    require_decimal(
        reading.percentile,
        "a percentile",
        decimals_max=PERCENTILE_DECIMALS_MAX,
        below=Decimal("100.0001"),
    )
    if not reading.percentile:
        raise ReadingNotUsable("a percentile lies above 0 and up to 100")
    for word, kind in (
        (reading.primaries, Primaries),
        (reading.gaps, GapPolicy),
        (reading.over, Over),
    ):
        if word not in get_args(kind):
            raise ReadingNotUsable(f"{word!r} is none of {', '.join(get_args(kind))}")
    if (reading.aggregation == "unique") != bool(reading.distinct):
        raise ReadingNotUsable("what counts different values, and only that, names their property")
    if len(reading.distinct) > DISTINCT_LENGTH_MAX:
        raise ReadingNotUsable(f"a property's name has at most {DISTINCT_LENGTH_MAX} characters")


def _require_interval(minutes: int) -> None:
    if minutes < _BUCKET_MINUTES or minutes % _BUCKET_MINUTES or _DAY_MINUTES % minutes:
        raise ReadingNotUsable(
            f"an interval is a multiple of {_BUCKET_MINUTES} minutes that divides a day, "
            f"not {minutes} minutes"
        )
