"""Drafting, rating and finalizing invoices."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.core.rating import RatedInvoice, RatedLine
from billing.models import Invoice, InvoiceLine, InvoiceNumbering, PlanVersion, Subscription
from billing.queries import current_period, due_periods, plan_version_for, rated_period
from metering.models import Application, DirtyBucket
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
        invoice = Invoice.objects.filter(subscription=locked, period_start=period.start).first()
        return invoice or _draft_invoice(locked, period, as_of)


def recompute_draft(invoice: Invoice) -> Invoice:
    """Rate a draft's period again, with usage and assignments that came after it was made.

    Raises InvoiceAlreadyFinalized, UsageNotRolledUp and InvoiceCurrencyDiffers.
    """
    with transaction.atomic():
        locked = Invoice.objects.select_for_update().get(pk=invoice.pk)
        if locked.status == Invoice.Status.FINALIZED:
            raise InvoiceAlreadyFinalized(f"number {locked.number}")
        return _rate_again(locked)


def finalize_invoice(invoice: Invoice, *, as_of: datetime) -> Invoice:
    """Rate the draft one last time and give it the tenant's next number, without gaps.

    A finalized invoice is returned as it is. Raises UsageNotRolledUp and InvoiceCurrencyDiffers.
    """
    with transaction.atomic():
        locked = Invoice.objects.select_for_update().get(pk=invoice.pk)
        if locked.status == Invoice.Status.FINALIZED:
            return locked
        # Whoever changes what is billed to the customer waits, and then finds the invoice issued.
        Customer.objects.select_for_update(no_key=True).get(pk=locked.customer_id)
        _rate_again(locked)
        locked.number = _next_number()
        locked.status = Invoice.Status.FINALIZED
        locked.finalized_at = as_of
        locked.save(update_fields=["number", "status", "finalized_at"])
        return locked


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
    rated = _rated(subscription, period, as_of)
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
    _write_lines(invoice, rated)
    return invoice


def _rate_again(invoice: Invoice) -> Invoice:
    period = Period(invoice.period_start, invoice.period_end)
    rated = _rated(invoice.subscription, period, period.end)
    if rated.currency.code != invoice.currency:
        raise InvoiceCurrencyDiffers(f"it is in {invoice.currency}, not {rated.currency.code}")
    invoice.lines.all().delete()
    changed = {"total": rated.total, **_names_of_today(invoice.customer, invoice.plan_version)}
    for name, value in changed.items():
        setattr(invoice, name, value)
    invoice.save(update_fields=list(changed))
    _write_lines(invoice, rated)
    return invoice


def _names_of_today(customer: Customer, version: PlanVersion) -> dict[str, str]:
    return {
        "billed_to": customer.name,
        "customer_reference": customer.reference,
        "time_zone": customer.time_zone,
        "seller": Tenant.objects.get(pk=current_tenant_id()).name,
        "plan_label": str(version),
    }


def _rated(subscription: Subscription, period: Period, as_of: datetime) -> RatedInvoice:
    _keep_prices(subscription)
    _require_rolled_up(subscription.customer, period)
    return rated_period(subscription, period, as_of=as_of)


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


def _require_rolled_up(customer: Customer, period: Period) -> None:
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


def _write_lines(invoice: Invoice, rated: RatedInvoice) -> None:
    applications = {line.application_id for line in rated.lines if line.application_id}
    environments = dict(
        Application.objects.filter(pk__in=applications).values_list("pk", "environment__name")
    )
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            environment_name=environments[UUID(line.application_id)] if line.application_id else "",
            **_stored_figures(line),
        )
        for position, line in enumerate(rated.lines, start=1)
    )


def _stored_figures(line: RatedLine) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "price_id": line.price_id,
        "application_id": line.application_id,
        "application_name": line.application_name,
        "label": line.label,
        "meter": line.meter,
        "unit": line.unit,
        "attributes": dict(line.attributes),
        "facts": dict(line.facts),
        "raw_quantity": line.raw_quantity,
        "quantity": line.quantity,
        "unrounded": line.unrounded,
        "amount": line.amount,
        "steps": [step.to_json() for step in line.steps],
        "refused_quantity": line.provenance.refused,
        "refused_for": list(line.provenance.refused_for),
        "measured": line.provenance.to_json(),
    }


def _next_number() -> int:
    InvoiceNumbering.objects.get_or_create()
    numbering = InvoiceNumbering.objects.select_for_update().get()
    numbering.last_number += 1
    numbering.save(update_fields=["last_number"])
    return numbering.last_number
