"""Conditions on many ids that are quick to say."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, F, Func, UUIDField, Value


class OneOf(Func):
    """That a field is one of some ids, given as one array: `= ANY(…)`.

    `__in` writes each id into the statement by itself, and the driver then looks through all of
    them for its own marks: with a thousand, that takes longer than the query.
    """

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("

    def __init__(self, field: str, ids: Iterable[UUID], **options: Any) -> None:
        array = Value(list(ids), output_field=ArrayField(UUIDField()))
        super().__init__(F(field), array, output_field=BooleanField(), **options)
