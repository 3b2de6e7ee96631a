"""Amounts and times in e-mails, in the language and time zone that are active. Exact, no floats."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from babel import dates, numbers
from django.utils.timezone import localtime
from django.utils.translation import get_language

_DAY: Final = {"en": "d MMM y", "de": "d. MMM y"}


def money(amount: str | Decimal, currency: str) -> str:
    """In its currency's form: €12.34, 12,34 €, ¥1,234."""
    return str(numbers.format_currency(Decimal(amount), currency, locale=_language()))


def day(moment: str) -> str:
    """23 Nov 2026; of a moment in ISO 8601 in the active time zone."""
    local = localtime(datetime.fromisoformat(moment))
    return str(dates.format_date(local, _DAY[_language()], locale=_language()))


def minute(moment: str) -> str:
    """23 Nov 2026, 14:05 CET."""
    local = localtime(datetime.fromisoformat(moment))
    return f"{day(moment)}, {local:%H:%M %Z}"


def _language() -> str:
    short = (get_language() or "en").partition("-")[0]
    return short if short in _DAY else "en"
