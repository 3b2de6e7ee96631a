"""What stands behind an invoice that was made: whether its usage is known, and what came since."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.models import Invoice
from billing.queries.upcoming import rated_period
from metering.queries import completeness


def is_usage_complete(invoice: Invoice, *, as_of: datetime) -> bool:
    """Whether all hosts that the invoice's usage comes from have delivered to the period's end.

    A silent host that has not is one whose usage is unknown.
    """
    period = Period(invoice.period_start, invoice.period_end)
    own = [usage.application_id for usage in billable_periods(invoice.customer, period)]
    known = completeness(as_of, own)
    delivered = [host.complete_to for host in known.silent_hosts]
    if known.complete_to is not None:
        delivered.append(known.complete_to)
    return all(end is not None and end >= period.end for end in delivered)


@dataclass(frozen=True, slots=True)
class ChangesSinceFinalized:
    """Usage that came, or came to be priced, after its invoice was issued. `lines` counts the
    pairs of price and application concerned; `amount` is what they would add to the total."""

    lines: int
    amount: Decimal


def changes_since_finalized(invoice: Invoice) -> ChangesSinceFinalized | None:
    """What the period's usage comes to now beyond the issued invoice; None where they agree, and
    for a draft, which is rated once more anyway."""
    if invoice.status != Invoice.Status.FINALIZED:
        return None
    period = Period(invoice.period_start, invoice.period_end)
    rated = rated_period(invoice.subscription, period, as_of=period.end)
    # Lines of nothing but usage that is not billed cost nothing, then and now.
    now = {
        (_id(line.price_id), _id(line.application_id), line.attributes, Decimal(line.raw_quantity))
        for line in rated.lines
        if line.raw_quantity
    }
    stored = invoice.lines.exclude(raw_quantity=0).values_list(
        "price_id", "application_id", "attributes", "raw_quantity"
    )
    billed = {
        (price, application, tuple(attributes.items()), quantity)
        for price, application, attributes, quantity in stored
    }
    changed = {line[:3] for line in now ^ billed}
    if not changed:
        return None
    return ChangesSinceFinalized(len(changed), rated.total - invoice.total)


def _id(written: str | None) -> UUID | None:
    return UUID(written) if written else None
