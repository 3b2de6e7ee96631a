"""What a line's price says, in the reader's language, and which of its rows the line was charged
at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext

from billing.core.explanation import StepJson
from billing.core.prices import Graduated, Matrix, Package, PerUnit, Volume
from billing.core.prices.matrix import ANY
from billing.core.prices.tiers import Tier
from billing.core.rating import PriceSpec
from portal.formatting import exact, spaced, unit_name


@dataclass(frozen=True, slots=True)
class Row:
    """A row or tier of a price; `is_taken` if the line was charged at it."""

    name: str
    unit_price: Decimal
    fee: Decimal | None = None
    is_taken: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """`unit_price` is None where several tiers were charged. `rule` says how the rows apply, and
    `heading` what they tell apart."""

    unit_price: Decimal | None
    per: str
    rule: str = ""
    heading: str = ""
    rows: tuple[Row, ...] = ()
    is_shared: bool = False

    @property
    def has_fees(self) -> bool:
        return any(row.fee for row in self.rows)


def rate_of(
    spec: PriceSpec, attributes: Mapping[str, str], steps: Sequence[StepJson]
) -> Rate | None:
    """The rate of a line with these attributes and steps; None where it has no usage."""
    model, unit = spec.model, spec.unit
    if isinstance(model, PerUnit):
        return Rate(model.unit_price, _per(unit), is_shared=bool(spec.allowance))
    if isinstance(model, Package):
        size = f"{exact(model.size)} {unit_name(unit, model.size)}".strip()
        return Rate(
            model.unit_price,
            gettext("per package of %(size)s, each begun one") % {"size": size},
            is_shared=True,
        )
    if isinstance(model, Matrix):
        return _of_matrix(spec, model, attributes)
    if isinstance(model, Graduated | Volume):
        return _of_tiers(spec, model, steps)
    return None


def _of_matrix(spec: PriceSpec, matrix: Matrix, attributes: Mapping[str, str]) -> Rate:
    pairs = tuple(attributes.items())
    taken = matrix.row_for(pairs)
    rows = [
        Row(_named(matrix.by, row.values), row.unit_price, is_taken=row is taken)
        for row in matrix.rows
    ]
    if matrix.default is not None:
        rows.append(Row(gettext("all other usage"), matrix.default, is_taken=taken is None))
    price = next((row.unit_price for row in rows if row.is_taken), None)
    return Rate(
        price,
        _per(spec.unit),
        gettext("The first row that fits the usage prices it."),
        gettext("Usage with"),
        tuple(rows),
        bool(spec.allowance),
    )


def _named(by: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(
        f"{gettext(spaced(name))} {gettext('any') if value == ANY else value}"
        for name, value in zip(by, values, strict=True)
    )


def _of_tiers(spec: PriceSpec, model: Graduated | Volume, steps: Sequence[StepJson]) -> Rate:
    taken = {step["numbers"].get("tier") for step in steps if step["kind"] in ("tier", "volume")}
    rows = tuple(
        Row(_bound(tier, number, spec.unit), tier.unit_price, tier.flat_fee, str(number) in taken)
        for number, tier in enumerate(model.tiers, start=1)
    )
    charged = [row.unit_price for row in rows if row.is_taken]
    rule = gettext("Each part of the quantity costs its own tier's price.")
    if isinstance(model, Volume):
        rule = gettext("The whole quantity costs the price of the tier that holds it.")
    price = charged[0] if len(charged) == 1 else None
    return Rate(price, _per(spec.unit), rule, gettext("Tier"), rows, is_shared=True)


def _bound(tier: Tier, number: int, unit: str) -> str:
    if tier.up_to is None:
        return gettext("%(number)s, no limit") % {"number": number}
    bound = f"{exact(tier.up_to)} {unit_name(unit, tier.up_to)}".rstrip()
    return gettext("%(number)s, up to %(bound)s") % {"number": number, "bound": bound}


def _per(unit: str) -> str:
    """What a price is for: each, per GB-hour, for 1 per second."""
    if unit == "one":
        return gettext("each")
    name = unit_name(unit, Decimal(1))
    words = gettext("for 1 %(unit)s") if unit.startswith("per ") else gettext("per %(unit)s")
    return words % {"unit": name}
