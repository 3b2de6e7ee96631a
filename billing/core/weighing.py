"""How instances in different roles add up to one quantity: pure and exact."""

from collections.abc import Mapping
from decimal import Decimal

from billing.core.exact import EXACT
from billing.core.intervals import Raw
from billing.core.quantity import plus
from billing.core.readings import Reading, RoleFactors


def factor_of(factors: RoleFactors, role: str) -> Decimal:
    """What share of the usage in a role is billed."""
    factor: Decimal = getattr(factors, role)
    return factor


def weighed(raw: Raw, factor: Decimal) -> Raw:
    """`raw` times the factor: a whole number as an int."""
    if factor == 1:
        return raw
    product = EXACT.multiply(Decimal(raw), factor)
    whole = int(product)
    return whole if whole == product else product


def weighed_together(reading: Reading, by_role: Mapping[str, Raw]) -> Raw:
    """What the usage in each role comes to: the sum, or of maxima the largest, of each times its
    factor."""
    parts = [weighed(raw, factor_of(reading.factors, role)) for role, raw in by_role.items()]
    if reading.aggregation == "maximum":
        return max(parts, default=0)
    return plus(*parts)


def by_role_told(reading: Reading, by_role: Mapping[str, Raw]) -> dict[str, int | str] | None:
    """The fact `roles`; None where every role counts fully."""
    if reading.factors == RoleFactors() or not by_role:
        return None
    return {role: written(by_role[role]) for role in sorted(by_role)}


def written(raw: Raw) -> int | str:
    """A raw quantity as a fact's JSON."""
    return raw if isinstance(raw, int) else format(raw, "f")
