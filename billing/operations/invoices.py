"""Drafting and rating invoices."""

from datetime import datetime

from django.db import connection, transaction

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.core.rating import RatedInvoice
from billing.models import Invoice, InvoiceLine, PlanVersion, Subscription
from billing.operations.taxing import write_lines
from billing.queries import current_period, due_periods, plan_version_for
from billing.queries.charges import charged_lines
from billing.queries.restatement import late_lines
from metering.models import DirtyBucket
from tenants.models import Customer, Tenant
from tenants.scope import current_tenant_id


class BillingPeriodNotEnded(Exception):
    """The period still runs; until it has ended there is a preview and no invoice."""


class NotABillingPeriod(Exception):
    """The subscription has no billing period with these bounds."""


class UsageNotRolledUp(Exception):
    """Usage of the period was acknowledged that the rollups do not hold yet."""


class InvoiceAlreadyFinalized(Exception):
    """A finalized invoice is never rewritten."""


class InvoiceCurrencyDiffers(Exception):
    """The plan has come to another currency than the one that its draft was made in."""


def close_billing_period(subscription: Subscription, period: Period, *, as_of: datetime) -> Invoice:
    """The period's invoice: a new draft, or the one that exists already, as it is.

    Callers roll the tenant up first (metering.rollups). Raises BillingPeriodNotEnded,
    NotABillingPeriod, UsageNotRolledUp and queries.PlanHasNoVersion.
    """
    if as_of < period.end:
        raise BillingPeriodNotEnded(f"it ends at {period.end:%Y-%m-%d %H:%M} UTC")
    with transaction.atomic():
        locked = _locked_subscription(subscription)
        if current_period(locked, as_of=period.start) != period:
            raise NotABillingPeriod(f"{period.start} to {period.end}")
        invoice = Invoice.objects.filter(
            kind=Invoice.Kind.INVOICE, subscription=locked, period_start=period.start
        ).first()
        return invoice or _draft_invoice(locked, period, as_of)


def recompute_draft(invoice: Invoice) -> Invoice:
    """Rate a draft's period again, with usage and assignments that came after it was made.

    Raises InvoiceAlreadyFinalized, UsageNotRolledUp and InvoiceCurrencyDiffers.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.is_issued:
            raise InvoiceAlreadyFinalized(f"number {locked.reference}")
        return rate_again(locked, strict=False)


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


def _locked_subscription(subscription: Subscription) -> Subscription:
    return (
        Subscription.objects.select_for_update(of=("self",))
        .select_related("customer", "plan")
        .get(pk=subscription.pk)
    )


def _draft_invoice(subscription: Subscription, period: Period, as_of: datetime) -> Invoice:
    version = plan_version_for(subscription.plan, period.start)
    rated, lines = _charged(subscription, period, as_of)
    invoice = Invoice.objects.create(
        customer=subscription.customer,
        subscription=subscription,
        plan_version=version,
        period_start=period.start,
        period_end=period.end,
        currency=rated.currency.code,
        total=rated.total,
        created_at=as_of,
        **_names_of_today(subscription.customer, version),
    )
    write_lines(invoice, [*lines, *late_lines(invoice)], strict=False)
    return invoice


def rate_again(invoice: Invoice, *, strict: bool) -> Invoice:
    """Rate a draft that is locked. If `strict`, each line's tax must be known.

    Raises UsageNotRolledUp, InvoiceCurrencyDiffers and, if `strict`, TaxRateUnknown and
    TaxCountryUnknown.
    """
    period = Period(invoice.period_start, invoice.period_end)
    rated, lines = _charged(invoice.subscription, period, period.end)
    if rated.currency.code != invoice.currency:
        raise InvoiceCurrencyDiffers(f"it is in {invoice.currency}, not {rated.currency.code}")
    version = plan_version_for(invoice.subscription.plan, period.start)
    changed = {"plan_version": version, **_names_of_today(invoice.customer, version)}
    for name, value in changed.items():
        setattr(invoice, name, value)
    invoice.save(update_fields=list(changed))
    write_lines(invoice, [*lines, *late_lines(invoice)], strict=strict)
    return invoice


def _names_of_today(customer: Customer, version: PlanVersion) -> dict[str, str]:
    return {
        "billed_to": customer.name,
        "customer_reference": customer.reference,
        "time_zone": customer.time_zone,
        "seller": Tenant.objects.get(pk=current_tenant_id()).name,
        "plan_label": str(version),
    }


def _charged(
    subscription: Subscription, period: Period, as_of: datetime
) -> tuple[RatedInvoice, list[InvoiceLine]]:
    _keep_prices(subscription)
    require_rolled_up(subscription.customer, period)
    return charged_lines(subscription, period, as_of=as_of)


def _keep_prices(subscription: Subscription) -> None:
    """Hold off changes of the prices of all the plan's versions, and of its currency, until this
    transaction ends; one that is under way is waited for, and read."""
    with connection.cursor() as cursor:
        for statement in (
            "SELECT FROM billing_planversion WHERE plan_id = %s ORDER BY id FOR SHARE",
            "SELECT FROM billing_plan WHERE id = %s FOR SHARE",
        ):
            cursor.execute(statement, [subscription.plan_id])
    subscription.plan.refresh_from_db()


def require_rolled_up(customer: Customer, period: Period) -> None:
    """Everything acknowledged is in the rollups: a bucket that a worker is computing right now is
    waited for, one that nobody has taken on yet stops the operation."""
    applications = {usage.application_id for usage in billable_periods(customer, period)}
    pending = DirtyBucket.objects.filter(
        application_id__in=applications,
        bucket_start__gte=period.start,
        bucket_start__lt=period.end,
    )
    left = len(pending.select_for_update().values_list("pk"))
    if left:
        raise UsageNotRolledUp(f"{left} buckets wait for the worker; try again in a few seconds")
