"""Closing periods, and rating drafts again."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from billing.core.contract import Contract
from billing.core.periods import Period
from billing.models import Invoice, Plan, Subscription
from billing.operations.drafting import (
    draft_invoices,
    keep_prices,
    names_of_today,
    require_rolled_up,
)
from billing.operations.taxing import write_lines
from billing.queries import due_periods
from billing.queries.agreed import Agreed
from billing.queries.charges import charged_by
from billing.queries.contracts import contract_of
from billing.queries.differences import Restated, lines_of
from billing.queries.periods import period_of
from billing.queries.restatement import late_periods
from tenants.models import Tenant
from tenants.scope import current_tenant_id


class InvoiceAlreadyFinalized(Exception):
    """A finalized invoice is never rewritten."""


class InvoiceCurrencyDiffers(Exception):
    """The plan has come to another currency than the one that its draft was made in."""


def close_billing_period(subscription: Subscription, period: Period, *, as_of: datetime) -> Invoice:
    """The period's invoice: a new draft, or the one that exists already, as it is.

    Callers roll the tenant up first (metering.rollups). Raises what draft_invoices refuses.
    """
    (drafted,) = draft_invoices([(subscription, period)], as_of=as_of)
    if isinstance(drafted, Exception):
        raise drafted
    return drafted


def recompute_draft(invoice: Invoice) -> Invoice:
    """Rate a draft's period again, with usage and assignments that came after it was made.

    Raises InvoiceAlreadyFinalized, UsageNotRolledUp and InvoiceCurrencyDiffers.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.is_issued:
            raise InvoiceAlreadyFinalized(f"number {locked.reference}")
        require_rolled_up(locked.customer, period_of(locked))
        rate_again(locked, strict=False)
        return locked


def locked_invoice(invoice: Invoice) -> Invoice:
    """The invoice as it is now, which nobody else changes until this transaction ends.

    An invoice is locked before its customer. Its key stays free: a roll-up that finalizing waits
    for may refer to it with a mark of late usage.
    """
    return Invoice.objects.select_for_update(no_key=True, of=("self",)).get(pk=invoice.pk)


def close_due(*, as_of: datetime) -> list[Invoice]:
    """Close every period of the tenant that has ended and has no invoice yet, each subscription's
    oldest first; returns the invoices. A period whose plan had no prices is left open."""
    return [
        close_billing_period(subscription, period, as_of=as_of)
        for subscription, period in due_periods(as_of=as_of)
    ]


def rate_again(
    invoice: Invoice, *, strict: bool, among: Collection[Invoice] | None = None
) -> tuple[Contract, list[Restated]]:
    """Rate a draft that is locked, whose usage is rolled up, and return by what, with the earlier
    periods that were rated with it; `among` is as late_periods takes it. If `strict`, each line's
    tax must be known.

    Raises InvoiceCurrencyDiffers and, if `strict`, TaxRateUnknown and TaxCountryUnknown.
    """
    period = period_of(invoice)
    subscription = invoice.subscription
    subscription.customer = invoice.customer
    keep_prices([subscription.plan_id])
    subscription.plan = Plan.objects.get(pk=subscription.plan_id)
    restated = late_periods(invoice, among)
    late = lines_of(restated)
    agreed = Agreed([subscription])
    contract = contract_of(subscription, period, agreed=agreed, late=late)
    rated, lines = charged_by(contract, subscription)
    if rated.currency.code != invoice.currency:
        raise InvoiceCurrencyDiffers(f"it is in {invoice.currency}, not {rated.currency.code}")
    version = agreed.version_at(subscription, period.start)
    changed = {
        "plan_version": version,
        "seller": Tenant.objects.get(pk=current_tenant_id()).name,
        **names_of_today(invoice.customer, version),
    }
    for name, value in changed.items():
        setattr(invoice, name, value)
    invoice.save(update_fields=list(changed))
    write_lines(invoice, [*lines, *late], strict=strict)
    return contract, restated
