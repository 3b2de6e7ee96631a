"""What a customer's current period comes to so far."""

from uuid import UUID

from billing.api.customers import visible_customer
from billing.api.fields import Exact
from billing.api.lines import LineOut, shown_rated_line
from billing.queries import upcoming_invoice
from tenants.api.caller import ApiRequest
from tenants.api.errors import not_found
from tenants.api.fields import Given, Instant
from tenants.api.resources import Resources

upcoming = Resources()


class UpcomingInvoiceOut(Given):
    """The running period so far; `total` is what the lines sum to, before tax and credit. Usage of
    all hosts that report is known up to `complete_to`; null before any has come."""

    customer_id: UUID
    subscription_id: UUID
    plan_version_id: UUID
    period_start: Instant
    period_end: Instant
    complete_to: Instant | None
    currency: str
    total: Exact
    lines: list[LineOut]


@upcoming.reading(
    "/customers/{uuid:customer_id}/upcoming-invoice",
    scope="invoices:read",
    answers=UpcomingInvoiceOut,
    summary="Read a customer's upcoming invoice",
)
def get_upcoming_invoice(request: ApiRequest, customer_id: UUID) -> UpcomingInvoiceOut:
    customer = visible_customer(request.caller, customer_id)
    found = upcoming_invoice(customer, as_of=request.as_of)
    if found is None:
        raise not_found("upcoming invoice: the customer has no subscription with prices now")
    return UpcomingInvoiceOut(
        customer_id=customer.pk,
        subscription_id=found.subscription.pk,
        plan_version_id=found.plan_version.pk,
        period_start=found.period.start,
        period_end=found.period.end,
        complete_to=found.complete_to,
        currency=found.currency.code,
        total=found.total,
        lines=[shown_rated_line(line) for line in found.lines],
    )
