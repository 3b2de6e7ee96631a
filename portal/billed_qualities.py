"""Which usage of a meter the customer's prices bill, by how well it was measured. Every query runs
inside a tenant's scope."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from billing.core.contract import priced_spans
from billing.queries import (
    NotQuotedInCurrency,
    PlanHasNoVersion,
    contract_of,
    current_period,
    subscription_of,
)
from metering.core.quality import Measured, in_words, refused_qualities
from tenants.models import Customer


@dataclass(frozen=True, slots=True)
class BilledQualities:
    """`is_priced`: whether the meter has a price in the running period."""

    is_priced: bool
    unbilled: frozenset[str] = frozenset()

    def refused(self, measured: Iterable[Measured]) -> tuple[str, ...]:
        """The qualities of some usage that no price bills, in words."""
        found = (each.quality for each in measured if each.quality in self.unbilled)
        return tuple(dict.fromkeys(map(in_words, found)))


def billed_qualities(customer: Customer, meter: str, *, as_of: datetime) -> BilledQualities:
    """By the prices of the running period."""
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is None:
        return BilledQualities(is_priced=False)
    try:
        contract = contract_of(subscription, current_period(subscription, as_of=as_of))
    except (PlanHasNoVersion, NotQuotedInCurrency):
        return BilledQualities(is_priced=False)
    readings = [each.full.reading for each in priced_spans(contract)]
    accepted = [each.accepts for each in readings if each is not None and each.meter == meter]
    if not accepted:
        return BilledQualities(is_priced=False)
    return BilledQualities(True, refused_qualities(frozenset[str]().union(*accepted)))
