"""Which usage was there when somebody looked. Clocks cannot tell: what a transaction has written
down the time of may be committed long after, and was not seen by who looked in between. So each
batch, event and correction keeps the id of the transaction that stored it, and whoever looks keeps
PostgreSQL's snapshot, which says of every transaction whether it was over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BooleanField, F, Func, Value

from metering.sql import statement
from metering.usage_rows import UsagePeriod


@dataclass(frozen=True, slots=True)
class Cut:
    """The usage that was there at `at`, by the database's clock: by its `snapshot`, taken in the
    transaction `own`; without one, what had been received by then. metering_is_known() in the
    database defines it."""

    at: datetime
    snapshot: str | None = None
    own: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Of the SQL."""
        return {"as_of": self.at, "snapshot": self.snapshot, "own": self.own}

    def holds(self, received: str) -> Func:
        """Whether a row was there, whose time of arrival is in the field `received`, and whose
        transaction's id is beside it."""
        row, _, _ = received.rpartition("__")
        return Func(
            F(f"{row}__stored_in" if row else "stored_in"),
            F(received),
            Func(Value(self.snapshot), template="%(expressions)s::pg_snapshot"),
            Func(Value(self.own), template="%(expressions)s::xid8"),
            Value(self.at),
            function="metering_is_known",
            output_field=BooleanField(),
        )


def take_cut(periods: Sequence[UsagePeriod]) -> Cut | None:
    """The cut of now; None while some usage of these periods is in no rollup yet. Where there is
    one, rollups and what they are made of agree at it."""
    parameters: dict[str, Any] = {
        "applications": [each.application_id for each in periods],
        "starts": [each.start for each in periods],
        "ends": [each.end for each in periods],
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("take_cut"), parameters)
        is_rolled_up, snapshot, own, at = cursor.fetchone()
    return Cut(at, snapshot, own) if is_rolled_up else None
