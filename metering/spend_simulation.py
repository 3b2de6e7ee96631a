"""What a version's limits of spend find in a month that is past. Spend is rated where bills are
made, which stands above this: whoever rates says how (`rated_by`)."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from tenants.policy_models import PolicyVersion


@dataclass(frozen=True, slots=True)
class SpendOver:
    """One customer's month, of one application or (without one) of all that are judged, that came
    to more than the limit: before tax, in `currency`. `passed_on`: the first day, in the customer's
    time zone, by whose end it had; `month` is that month's first day."""

    customer: str
    reference: str
    application: str
    term: str
    month: date
    spent: Decimal
    limit: Decimal
    currency: str
    passed_on: date

    @property
    def over_by(self) -> Decimal:
        return self.spent - self.limit


@dataclass(frozen=True, slots=True)
class SpendSimulation:
    """What some customers spent in the last whole month beside the limits, what is most over first.
    `judged`: how many were; `left_out`: (reference, why) of the others. `more_after`: the
    reference after which the next customers follow; "" where these were the last."""

    over: tuple[SpendOver, ...]
    judged: int
    left_out: tuple[tuple[str, str], ...]
    more_after: str


class _Simulates(Protocol):
    def __call__(
        self, version: PolicyVersion, *, after: str, as_of: datetime
    ) -> SpendSimulation: ...


_rated_by: list[_Simulates] = []


def rated_by(simulates: _Simulates) -> None:
    """Have `simulates` rate, inside a tenant's scope, the customers whose reference comes `after`
    the one that is given."""
    _rated_by[:] = [simulates]


def spend_against(
    version: PolicyVersion, *, after: str = "", as_of: datetime
) -> SpendSimulation | None:
    """None where the version limits no spend."""
    if not version.spend_currency or not _rated_by:
        return None
    return _rated_by[0](version, after=after, as_of=as_of)
