"""What the fields of requests and answers are made of; each has its bounds."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from ninja import Schema
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from tenants.models import validate_time_zone

PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_YEARS: Final = range(2000, 2200)


class Taken(Schema):
    """What a request brings: members that are not named are refused."""

    model_config = ConfigDict(extra="forbid")


def example(members: dict[str, Any]) -> ConfigDict:
    """The configuration of a Taken with such a body in the document."""
    return ConfigDict(json_schema_extra={"examples": [members]})


class Given(Schema):
    """What an answer holds."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def written_instant(moment: datetime) -> str:
    """RFC 3339 in UTC: 2026-11-01T00:00:00Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("write it as in RFC 3339, such as 2026-11-01T00:00:00Z")
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such moment") from None
    if moment.year not in _YEARS:
        raise ValueError(f"it lies outside the years {_YEARS[0]} to {_YEARS[-1]}")
    return moment


def _time_zone(name: str) -> str:
    try:
        validate_time_zone(name)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from None
    return name


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(written_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
TimeZoneName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$"),
    AfterValidator(_time_zone),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=PRINTABLE)]


def text(length_max: int) -> Any:
    """Text of one line that may be empty."""
    return StringConstraints(max_length=length_max, pattern=PRINTABLE)


def one_of(choices: type[TextChoices], *others: str) -> Any:
    """Says in the document which values a model's field takes."""
    return WithJsonSchema({"type": "string", "enum": [*others, *choices.values]})


Limit = Annotated[int, Field(ge=1, le=200)]
