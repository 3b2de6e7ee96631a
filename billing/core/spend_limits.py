"""What customers came to in a month beside the limits of a policy: pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final
from uuid import UUID

from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts

APPLICATION_SPEND: Final = "application_spend_max"
CUSTOMER_SPEND: Final = "customer_spend_max"


@dataclass(frozen=True, slots=True)
class Spend:
    """One limit, and what it was compared with; without an application all of them together. A
    limit may be used up: what is more is over it."""

    term: str
    application_id: UUID | None
    spent: Decimal
    limit: Decimal

    @property
    def is_over(self) -> bool:
        return self.spent > self.limit


def spends(
    amounts: Iterable[tuple[UUID | None, Decimal]],
    applications: Collection[UUID],
    *,
    application_max: Decimal | None,
    customer_max: Decimal | None,
) -> tuple[Spend, ...]:
    """What one customer spent on some applications, beside their limits: the customer's first.

    amounts: (application, amount before tax); of other applications, and of none, nothing counts.
    """
    by_application: dict[UUID, list[Decimal]] = {}
    for application_id, amount in amounts:
        if application_id in applications and application_id is not None:
            by_application.setdefault(application_id, []).append(amount)
    totals: Mapping[UUID, Decimal] = {
        each: sum_amounts(found) for each, found in by_application.items()
    }
    found = []
    if customer_max is not None and totals:
        whole = sum_amounts(list(totals.values()))
        found.append(Spend(CUSTOMER_SPEND, None, whole, customer_max))
    if application_max is not None:
        found += [
            Spend(APPLICATION_SPEND, each, total, application_max)
            for each, total in sorted(totals.items())
        ]
    return tuple(found)


def passed_on(amounts: Iterable[tuple[date, Decimal]], limit: Decimal) -> date | None:
    """The first day by whose end more than `limit` was spent. `amounts`: of days, in any order."""
    spent = ZERO
    by_day: dict[date, Decimal] = {}
    for day, amount in amounts:
        by_day[day] = EXACT.add(by_day.get(day, ZERO), amount)
    for day in sorted(by_day):
        spent = EXACT.add(spent, by_day[day])
        if spent > limit:
            return day
    return None
