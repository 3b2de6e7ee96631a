"""Late fees: an unpaid invoice is counted as an event, and the customer's plan has a price for it.

So a fee is rated, explained, taxed, disputed and proven as all usage is, and stands on the next
invoice. Where the plan has no price for the meter, nothing is counted.
"""

from datetime import UTC, datetime
from typing import Final

from billing.models import Invoice, PlanVersion
from billing.operations.mailing import mail_of_invoice
from billing.queries.agreed import Agreed, NotQuotedInCurrency
from billing.queries.periods import PlanHasNoVersion, current_period, subscription_of
from metering.assignments import running
from metering.core.cloudevents import USAGE_TYPE, RefusedEvent, parse_event
from metering.events import store_events
from metering.models import Assignment
from tenants.models import Customer

LATE_FEE: Final = "invoice.late_fee"
_SOURCE: Final = "hostmeter/dunning"


def count_late_fee(invoice: Invoice, number: int, *, as_of: datetime) -> str:
    """Count the `number`th late fee of an overdue invoice on the application that its customer has
    had for longest, of several the first by name; what came of it, for the invoice's page. Call it
    in the transaction that records the step."""
    if not _is_priced(invoice.customer, as_of):
        return f"not charged: the customer's plan has no price for {LATE_FEE}"
    assigned = Assignment.objects.filter(running(as_of), customer=invoice.customer_id)
    in_order = assigned.order_by("starts_at", "application__name", "pk")
    oldest = in_order.select_related("application__environment").first()
    if oldest is None:
        return "not charged: no application is the customer's any more"
    application = oldest.application
    subject = f"{application.environment.name}/{application.name}"
    event = parse_event(
        {
            "specversion": "1.0",
            "type": USAGE_TYPE,
            "source": _SOURCE,
            "id": f"{invoice.pk}/{number}",
            "subject": subject,
            "time": f"{as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "data": {
                "meter": LATE_FEE,
                "quantity": 1,
                "document": invoice.reference,
                "number": number,
            },
        },
        as_of=as_of,
    )
    (result,) = store_events([event], as_of=as_of)
    if isinstance(event, RefusedEvent) or result.outcome != "stored":
        return f"not charged: {result.reason or result.outcome}"[:200]
    told = mail_of_invoice("late_fee", f"{invoice.pk}:{number}", invoice, as_of=as_of)
    return f"counted on {subject}; told {told}"[:200]


def _is_priced(customer: Customer, as_of: datetime) -> bool:
    """Whether the version that rates this moment has a price for the meter: the one that its
    period began with, or one that took effect at once since."""
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is None:
        return False
    agreed = Agreed([subscription])
    try:
        version = agreed.version_at(subscription, as_of)
        if version.takes_effect != PlanVersion.TakesEffect.AT_ONCE:
            period = current_period(subscription, as_of=as_of)
            version = agreed.version_at(subscription, period.start)
        prices = agreed.prices(version, subscription)
    except (PlanHasNoVersion, NotQuotedInCurrency):
        return False
    return any(price.meter == LATE_FEE for price in prices)
