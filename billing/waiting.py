"""Which drafts wait, and for what. Nothing here writes."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from billing.billable import billable_periods
from billing.core.lifecycle import DRAFTS
from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.models import Invoice
from billing.operations.taxing import require_taxes
from billing.queries import is_usage_complete
from billing.queries.parties import has_billing_settings
from billing.queries.periods import period_of
from metering.allocation_rules import first_failure, is_allocated
from metering.queries import completeness


@dataclass(frozen=True, slots=True)
class WaitingDraft:
    """A draft, and what has to happen before it is finalized by itself."""

    invoice: Invoice
    waits_for: str


def waiting_drafts(*, as_of: datetime) -> list[WaitingDraft]:
    """The tenant's drafts, oldest first."""
    drafts = (
        Invoice.objects.filter(status__in=DRAFTS)
        .select_related("customer")
        .order_by("period_start", "customer__name")
    )
    return [WaitingDraft(draft, what_it_waits_for(draft, as_of=as_of)) for draft in drafts]


def what_it_waits_for(invoice: Invoice, *, as_of: datetime) -> str:
    """The first thing that keeps a draft from being finalized by itself; empty for what is issued,
    and for a draft that the next run takes."""
    if invoice.is_issued:
        return ""
    if not has_billing_settings():
        return "your billing settings, or your finalizing it"
    if invoice.review_until is not None and as_of < invoice.review_until:
        return f"its review, until {_minute(invoice.review_until)}"
    if not is_usage_complete(invoice, as_of=as_of):
        return f"usage: {known_usage(invoice, as_of)}"
    return _missing_tax(invoice)


def _missing_tax(invoice: Invoice) -> str:
    try:
        require_taxes(invoice, list(invoice.lines.all()))
    except (TaxRateUnknown, TaxCountryUnknown) as missing:
        return f"tax: {missing}"
    return ""


def known_usage(invoice: Invoice, as_of: datetime) -> str:
    """How far the usage of an invoice's period is known, and who is silent."""
    period = period_of(invoice)
    own = {usage.application_id for usage in billable_periods(invoice.customer, period)}
    known = completeness(as_of, list(own))
    if known.complete_to is None:
        facts = [] if known.silent_hosts else ["no host has delivered usage"]
    elif known.complete_to >= period.end:
        facts = ["usage is complete"]
    else:
        facts = [f"usage is known up to {_minute(known.complete_to)}"]
    for host in known.silent_hosts:
        since = "" if host.complete_to is None else f" since {_minute(host.complete_to)}"
        facts.append(f"{host.name} is silent{since}")
    if not is_allocated(period.start, period.end):
        failure = first_failure(period.start, period.end)
        facts.append(
            "hosts' idle usage is still to be spread"
            if failure is None
            else f"hosts' idle usage could not be spread, {failure}"
        )
    return ", ".join(facts)


def _minute(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"
