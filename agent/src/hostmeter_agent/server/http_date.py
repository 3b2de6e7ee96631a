"""Dates in HTTP headers. The standard library's reader of them is part of a mail package that
takes 2 MB of memory; HTTP has one form that is sent (RFC 9110, 5.6.7)."""

import re
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_FORM: Final = re.compile(
    r"^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$", re.ASCII
)


def http_date(text: str) -> datetime:
    """The moment that "Sun, 06 Nov 1994 08:49:37 GMT" names. Raises ValueError."""
    found = _FORM.match(text.strip())
    if found is None or found[2] not in _MONTHS:
        raise ValueError(f"not an HTTP date: {text[:64]!r}")
    day, month, year, hour, minute, second = found.groups()
    second = "59" if second == "60" else second  # a leap second, which datetime has not
    return datetime(
        int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
        tzinfo=UTC,
    )  # fmt: skip
