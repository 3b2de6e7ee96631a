"""The codes of a tenant's prices, by which credit, discounts and prices of customers' own are of
them."""

from collections.abc import Collection, Iterable
from typing import Final

from django.core.exceptions import ValidationError

from billing.models.plans import Price

_NAMED_MAX: Final = 30


class UnknownPriceCode(ValueError):
    """No price of any version of the tenant's plans has the code."""


def require_price_codes(codes: Collection[str]) -> None:
    """Raises UnknownPriceCode, for the first that no price has."""
    if not codes:
        return
    there_are = set(Price.objects.exclude(code="").values_list("code", flat=True).distinct())
    for code in codes:
        if code not in there_are:
            raise UnknownPriceCode(f"no price has the code {code[:40]!r}; {named(there_are)}")


def check_price_codes(codes: Collection[str]) -> None:
    """The same of a model's field `price_codes`, as its forms show it."""
    try:
        require_price_codes(codes)
    except UnknownPriceCode as refusal:
        words = str(refusal)
        raise ValidationError({"price_codes": f"{words[:1].upper()}{words[1:]}."}) from refusal


def named(codes: Iterable[str]) -> str:
    """Which codes there are, in words."""
    known = sorted(set(codes))
    if not known:
        return "no price has a code"
    more = f" and {len(known) - _NAMED_MAX} more" if len(known) > _NAMED_MAX else ""
    return f"there are {', '.join(known[:_NAMED_MAX])}{more}"
