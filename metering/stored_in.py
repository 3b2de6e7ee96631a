"""The field that says which transaction stored a row."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func


class StoredInField(models.Field):  # type: ignore[type-arg]  # not generic when it runs
    """The id of the transaction, which the database gives: metering.cuts tells by it whether the
    row was there at some moment."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"editable": False, "db_default": _transaction_id()})

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "xid8"


def _transaction_id() -> Func:
    return Func(function="pg_current_xact_id")
