"""invoice.json, as far as it is read: what it lacks is a difference and no crash."""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from billing.core.exact import plain
from hostmeter_verify.findings import Difference

_NUMBER: Final = re.compile(r"-?\d{1,60}(\.\d{1,40})?")
_LINES_MAX: Final = 1_000_000
_TEXTS: Final = ("reference", "seller", "billed_to", "currency", "kind")
_NUMBERS: Final = ("total", "tax_total", "credit_applied", "gross", "payable")


def checked_invoice(found: Any) -> Mapping[str, Any]:
    """Raises Difference where a member that is used is missing or of another kind."""
    if not isinstance(found, dict):
        raise Difference("invoice.json", "as a whole", "an object", type(found).__name__)
    for name in _TEXTS:
        if not isinstance(found.get(name), str):
            raise Difference("invoice.json", name, "a text", found.get(name))
    for name in _NUMBERS:
        number(found, name)
    if not isinstance(found.get("tax_inclusive"), bool):
        raise Difference(
            "invoice.json", "tax_inclusive", "true or false", found.get("tax_inclusive")
        )
    for name in ("lines", "taxes"):
        items = found.get(name)
        if not isinstance(items, list) or len(items) > _LINES_MAX:
            raise Difference("invoice.json", name, "a list", type(items).__name__)
        for item in items:
            if not isinstance(item, dict):
                raise Difference("invoice.json", name, "objects", type(item).__name__)
    return found


def number(record: Mapping[str, Any], name: str) -> Fraction:
    """An exact number that is written as text. Raises Difference."""
    return Fraction(decimal(record, name))


def decimal(record: Mapping[str, Any], name: str) -> Decimal:
    """As number(), as it is written. Raises Difference."""
    found = record.get(name)
    if not isinstance(found, str) or _NUMBER.fullmatch(found) is None:
        raise Difference("invoice.json", name, "a number written as text", found)
    value = Decimal(found)
    if plain(value) != found:
        raise Difference("invoice.json", name, plain(value), found)
    return value
