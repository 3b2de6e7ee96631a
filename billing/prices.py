"""Stored prices as the rating core's values, read strictly: what is not understood is refused."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from billing.core.exact import ZERO
from billing.core.periods import Interval
from billing.core.prices import (
    Flat,
    Graduated,
    Matrix,
    Package,
    Percentage,
    PerUnit,
    PriceModel,
    Volume,
)
from billing.core.prices.flat import Timing
from billing.core.prices.matrix import Row
from billing.core.prices.percentage import AppliesTo
from billing.core.prices.tiers import Tier
from billing.core.rating import PriceSpec
from billing.core.readings import Aggregation, GapPolicy, Over, Primaries, Reading, RoleFactors
from billing.models import PlanVersion, Price

# More than any bound or price that the core takes can need.
_WRITTEN_MAX: Final = 60
_TEXT_MAX: Final = 200
_LIST_MAX: Final = 1_000
_TIER_KEYS: Final = frozenset({"up_to", "unit_price", "flat_fee"})

# The meter that replicas repeat: they follow the requests of their primary.
TRANSACTIONS: Final = "transactions"


class TierNotReadable(ValueError):
    """A stored tier is not {"up_to", "unit_price", "flat_fee"} with numbers written as text."""


class DefinitionNotReadable(ValueError):
    """A price's definition does not have the fields of its kind, or not in their form."""


class UnitPriceMissing(ValueError):
    """A price per unit or package, or a flat fee, does not say what it costs."""


def price_specs(plan_version: PlanVersion) -> tuple[PriceSpec, ...]:
    """The version's prices in their order on the invoice."""
    return tuple(
        price_spec(price, plan_version) for price in plan_version.prices.order_by("position")
    )


def price_spec(price: Price, version: PlanVersion | None = None) -> PriceSpec:
    """The price as it is rated in its version, or in the given one that it is not yet part of.

    Raises TierNotReadable, DefinitionNotReadable, UnitPriceMissing and whatever the core refuses a
    price with; all are ValueErrors but InexactNumber, which is a TypeError.
    """
    model = _MODELS[Price.Kind(price.kind)](price)
    return PriceSpec(
        id=str(price.pk),
        reading=reading_of(price, version or price.plan_version, model),
        unit=price.unit,
        model=model,
        allowance=_exact(price.allowance),
        label=price.label,
        code=price.code,
        rollover_periods=price.rollover_periods,
        minimum=None if price.minimum is None else _exact(price.minimum),
        maximum=None if price.maximum is None else _exact(price.maximum),
    )


def reading_of(price: Price, version: PlanVersion, model: PriceModel) -> Reading | None:
    """What the price counts; None for a fee or a percentage."""
    if price.kind in Price.UNMETERED and not price.meter:
        return None
    return Reading(
        meter=price.meter,
        aggregation=cast(Aggregation, price.aggregation),
        accepts=frozenset(price.accepted_qualities),
        factors=role_factors(version, price.meter),
        primaries=cast(Primaries, version.primaries),
        gaps=cast(GapPolicy, version.gaps),
        interval_minutes=price.interval_minutes,
        percentile=_exact(price.percentile),
        over=cast(Over, price.over),
        by=model.by if isinstance(model, Matrix) else (),
        distinct=price.distinct,
    )


def role_factors(version: PlanVersion, meter: str) -> RoleFactors:
    """What share of each role's usage of a meter the version bills: of transactions only the
    primary's, unless the version says otherwise."""
    primary = _exact(version.primary_factor)
    if meter == TRANSACTIONS and version.transactions_on == PlanVersion.TransactionsOn.PRIMARY:
        return RoleFactors(primary, ZERO, ZERO)
    return RoleFactors(primary, _exact(version.replica_factor), _exact(version.standby_factor))


def _exact(number: Decimal | int) -> Decimal:
    # A field's default is an int until the row has been read back.
    return Decimal(number) if isinstance(number, int) else number


def _per_unit(price: Price) -> PriceModel:
    _fields(price, {})
    return PerUnit(_unit_price(price))


def _graduated(price: Price) -> PriceModel:
    _fields(price, {})
    return Graduated(_tiers(price))


def _volume(price: Price) -> PriceModel:
    _fields(price, {})
    return Volume(_tiers(price))


def _package(price: Price) -> PriceModel:
    fields = _fields(price, {"size": _number})
    return Package(fields["size"], _unit_price(price))


def _flat(price: Price) -> PriceModel:
    fields = _fields(price, {}, {"timing": _text, "prorated": _flag, "interval": _text})
    return Flat(
        _unit_price(price),
        cast(Timing, fields.get("timing", "arrears")),
        fields.get("prorated", True),
        cast(Interval | None, fields.get("interval")),
    )


def _percentage(price: Price) -> PriceModel:
    fields = _fields(
        price, {"percent": _number, "of": _texts}, {"applies_to": _text, "allowance": _number}
    )
    return Percentage(
        fields["percent"],
        fields["of"],
        cast(AppliesTo, fields.get("applies_to", "total")),
        fields.get("allowance", ZERO),
    )


def _matrix(price: Price) -> PriceModel:
    fields = _fields(price, {"by": _texts, "rows": _list}, {"default": _number_or_none})
    rows = []
    for stored in fields["rows"]:
        row = _read("a row", stored, {"values": _texts, "unit_price": _number})
        rows.append(Row(row["values"], row["unit_price"]))
    return Matrix(fields["by"], tuple(rows), fields.get("default"))


_MODELS: Final[Mapping[Price.Kind, Callable[[Price], PriceModel]]] = {
    Price.Kind.PER_UNIT: _per_unit,
    Price.Kind.GRADUATED: _graduated,
    Price.Kind.VOLUME: _volume,
    Price.Kind.PACKAGE: _package,
    Price.Kind.FLAT: _flat,
    Price.Kind.PERCENTAGE: _percentage,
    Price.Kind.MATRIX: _matrix,
}


def _unit_price(price: Price) -> Decimal:
    if price.unit_price is None:
        raise UnitPriceMissing(f"a price of the kind {price.get_kind_display()} needs its price")
    return _exact(price.unit_price)


def _tiers(price: Price) -> tuple[Tier, ...]:
    if not isinstance(price.tiers, list):
        raise TierNotReadable("tiers are a list")
    return tuple(_tier(stored) for stored in price.tiers)


def _tier(stored: Any) -> Tier:
    if not isinstance(stored, dict) or not {"up_to", "unit_price"} <= stored.keys() <= _TIER_KEYS:
        raise TierNotReadable('a tier is {"up_to": …, "unit_price": …, "flat_fee": …}')
    return Tier(
        up_to=None if stored["up_to"] is None else _decimal(stored["up_to"], TierNotReadable),
        unit_price=_decimal(stored["unit_price"], TierNotReadable),
        flat_fee=_decimal(stored.get("flat_fee", "0"), TierNotReadable),
    )


_Reader = Callable[[Any], Any]


def _fields(
    price: Price,
    required: Mapping[str, _Reader],
    optional: Mapping[str, _Reader] | None = None,
) -> dict[str, Any]:
    kind = f"the definition of a price of the kind {price.get_kind_display()}"
    return _read(kind, price.definition, required, optional or {})


def _read(
    what: str,
    stored: Any,
    required: Mapping[str, _Reader],
    optional: Mapping[str, _Reader] | None = None,
) -> dict[str, Any]:
    readers = {**required, **(optional or {})}
    if not isinstance(stored, dict) or not required.keys() <= stored.keys() <= readers.keys():
        has = f"has the fields {', '.join(readers)}" if readers else "is empty"
        raise DefinitionNotReadable(f"{what} {has}")
    return {name: readers[name](value) for name, value in stored.items()}


def _number(written: Any) -> Decimal:
    return _decimal(written, DefinitionNotReadable)


def _number_or_none(written: Any) -> Decimal | None:
    return None if written is None else _number(written)


def _text(written: Any) -> str:
    if not isinstance(written, str) or not 1 <= len(written) <= _TEXT_MAX:
        raise DefinitionNotReadable(f"expected a text of 1 to {_TEXT_MAX} characters")
    if not written.isprintable():
        raise DefinitionNotReadable("a text has no control characters")
    return written


def _flag(written: Any) -> bool:
    if not isinstance(written, bool):
        raise DefinitionNotReadable("prorated is true or false")
    return written


def _list(written: Any) -> Sequence[Any]:
    if not isinstance(written, list) or len(written) > _LIST_MAX:
        raise DefinitionNotReadable(f"expected a list of at most {_LIST_MAX}")
    return written


def _texts(written: Any) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(written))


def _decimal(written: Any, refusal: type[ValueError]) -> Decimal:
    # A JSON number with a fraction was a float once: 0.1 would already be another number.
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise refusal(f'write numbers as text, like "0.05", not {str(written)[:40]}')
    if len(str(written)) > _WRITTEN_MAX:
        raise refusal(f"a number has at most {_WRITTEN_MAX} characters")
    try:
        return Decimal(written)
    except InvalidOperation as error:
        raise refusal(f"not a number: {str(written)[:40]!r}") from error
