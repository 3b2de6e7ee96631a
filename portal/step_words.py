"""The words of an explanation's steps in the reader's language.

A line keeps its steps as they were written when it was rated, in English: they are part of what a
proof holds. Here they are recognised by their shape, and said again.
"""

import re
from decimal import Decimal
from typing import Final

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _

from billing.core.explanation import named_unit
from billing.core.quantity import UNITS
from portal.formatting import localized_numbers, unit_name

_ONE: Final = Decimal(1)
_SEVERAL: Final = Decimal(2)
# (what was written, what is said). The first shape that fits all of the words is taken; its parts
# are words themselves.
_SHAPES: Final = tuple(
    (re.compile(shape), said)
    for shape, said in (
        (r"Before rounding: (?P<a>.+)", _("Before rounding: %(a)s")),
        (r"No rounding needed: (?P<a>.+)", _("No rounding needed: %(a)s")),
        (
            r"Rounded down to (?P<a>.+), so that the lines sum to (?P<b>.+)",
            _("Rounded down to %(a)s, so that the lines sum to %(b)s"),
        ),
        (
            r"Rounded up to (?P<a>.+), so that the lines sum to (?P<b>.+)",
            _("Rounded up to %(a)s, so that the lines sum to %(b)s"),
        ),
        (
            r"Not billed: (?P<a>.+), measured as (?P<b>.+); this price takes (?P<c>.+)",
            _("Not billed: %(a)s, measured as %(b)s; this price takes %(c)s"),
        ),
        (r"a largest value of (?P<a>.+)", _("a largest value of %(a)s")),
        (
            r"Other applications before this one on the invoice used (?P<a>.+)",
            _("Other applications before this one on the invoice used %(a)s"),
        ),
        (
            r"Before this line the period's invoices have (?P<a>.+)",
            _("Before this line the period's invoices have %(a)s"),
        ),
        (
            r"Included (?P<a>.+): (?P<b>.+) used before, (?P<c>.+) used here, "
            r"(?P<d>.+) left to pay",
            _("Included %(a)s: %(b)s used before, %(c)s used here, %(d)s left to pay"),
        ),
        (r"(?P<a>.+) and (?P<b>.+) carried over", _("%(a)s and %(b)s carried over")),
        (
            r"At most (?P<a>.+) a period, (?P<b>.+) before this line: (?P<c>.+)",
            _("At most %(a)s a period, %(b)s before this line: %(c)s"),
        ),
        (
            r"Tier (?P<n>\d+), above (?P<a>.+?) up to (?P<b>.+?), which holds the whole quantity: "
            r"(?P<c>.+)",
            _("Tier %(n)s, above %(a)s up to %(b)s, which holds the whole quantity: %(c)s"),
        ),
        (
            r"Tier (?P<n>\d+), above (?P<a>.+?), which holds the whole quantity: (?P<c>.+)",
            _("Tier %(n)s, above %(a)s, which holds the whole quantity: %(c)s"),
        ),
        (
            r"Tier (?P<n>\d+), above (?P<a>.+?) up to (?P<b>.+?): (?P<c>.+)",
            _("Tier %(n)s, above %(a)s up to %(b)s: %(c)s"),
        ),
        (
            r"Tier (?P<n>\d+), above (?P<a>.+?): (?P<c>.+)",
            _("Tier %(n)s, above %(a)s: %(c)s"),
        ),
        (
            r"(?P<a>.+) need (?P<n>\d+) packages of (?P<b>.+), "
            r"(?P<m>\d+) of them before this line: (?P<c>.+)",
            _("%(a)s need %(n)s packages of %(b)s, %(m)s of them before this line: %(c)s"),
        ),
        (
            r"(?P<a>.+) need (?P<n>\d+) packages of (?P<b>.+?): (?P<c>.+)",
            _("%(a)s need %(n)s packages of %(b)s: %(c)s"),
        ),
        (r"(?P<a>.+) at (?P<b>\S+ [A-Z]{3}) = (?P<c>.+)", _("%(a)s at %(b)s = %(c)s")),
        (
            r"(?P<a>.+) at (?P<b>\S+ [A-Z]{3}) plus (?P<c>.+) = (?P<d>.+)",
            _("%(a)s at %(b)s plus %(c)s = %(d)s"),
        ),
        (r"a fee of (?P<a>.+)", _("a fee of %(a)s")),
        (
            r"(?P<a>.+) for what was billed in another tier",
            _("%(a)s for what was billed in another tier"),
        ),
        (r"Usage with (?P<a>.+)", _("Usage with %(a)s")),
        (r"The customer's own price: (?P<a>.+)", _("The customer's own price: %(a)s")),
        (r"(?P<m>[a-z.]+), (?P<a>.+): (?P<b>.+)", "%(m)s, %(a)s: %(b)s"),
        (r"(?P<a>.+) ÷ (?P<b>.+) each = (?P<c>.+)", _("%(a)s ÷ %(b)s each = %(c)s")),
        (r"(?P<a>.+) ÷ (?P<b>.+) per (?P<c>.+) = (?P<d>.+)", _("%(a)s ÷ %(b)s per %(c)s = %(d)s")),
        (
            r"(?P<a>\S+)(?:st|nd|rd|th) percentile of (?P<n>\d+)-minute intervals(?P<over>.*)",
            _("%(a)sth percentile of %(n)s-minute intervals%(over)s"),
        ),
        (
            r"peak of (?P<n>\d+)-minute intervals(?P<over>.*)",
            _("peak of %(n)s-minute intervals%(over)s"),
        ),
        (r" over all applications", _(" over all applications")),
        (r"different values of (?P<a>.+)", _("different values of %(a)s")),
        (r"(?P<a>.+) or (?P<b>.+)", _("%(a)s or %(b)s")),
    )
)
# What a part may be of its own.
_WORDS: Final = (_("sum"), _("maximum"), _("integral"), _("exact"), _("sampled"), _("estimated"))


def said_again(words: str) -> str:
    """A step's words in the language of the page; what has no known shape stays as it was."""
    if (get_language() or "en").startswith("en"):
        return words
    return localized_numbers(_with_units(_said(words)))


def _said(words: str) -> str:
    for shape, said in _SHAPES:
        if found := shape.fullmatch(words):
            parts = {name: _said(part) for name, part in found.groupdict().items()}
            return gettext(said) % parts
    return gettext(words) if words else ""


def _with_units(words: str) -> str:
    return _UNIT_NAMES.sub(lambda found: _unit(found[0]), words)


def _unit(written: str) -> str:
    for unit in UNITS:
        for count in (_ONE, _SEVERAL):
            if named_unit(unit, count) == written:
                return unit_name(unit, count)
    return written


_UNIT_NAMES: Final = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(
        sorted(
            {re.escape(named_unit(unit, count)) for unit in UNITS for count in (_ONE, _SEVERAL)},
            key=len,
            reverse=True,
        )
    )
    + r")(?![\w-])"
)
