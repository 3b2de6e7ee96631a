"""Drafting invoices, of many subscriptions together: locks are taken, usage is read and rows are
written for all of them at once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from billing.billable import billable_periods_of_many
from billing.core.periods import Period
from billing.line_copy import NewLine
from billing.models import Invoice, Plan, PlanVersion, Subscription
from billing.operations.taxing import Document, store, tax, tax_basis
from billing.operations.telling import tell_of_invoices
from billing.queries.agreed import Agreed
from billing.queries.charges import charged_lines, charged_lines_of_many
from billing.queries.periods import invoiced_bounds, period_at, period_of
from billing.queries.restatement import late_lines_of_many
from metering.models import DirtyBucket
from tenants.models import Customer, Tenant
from tenants.scope import current_tenant_id

# A subscription and a period of it.
Due = tuple[Subscription, Period]


class BillingPeriodNotEnded(Exception):
    """The period still runs; until it has ended there is a preview and no invoice."""


class NotABillingPeriod(Exception):
    """The subscription has no billing period with these bounds."""


class UsageNotRolledUp(Exception):
    """Usage of the period was acknowledged that the rollups do not hold yet."""


def draft_invoices(due: Sequence[Due], *, as_of: datetime) -> list[Invoice | Exception]:
    """Each period's invoice, one a subscription: a new draft, or the one that exists already, as it
    is. What keeps one of them from being drafted stands in its place: BillingPeriodNotEnded,
    NotABillingPeriod, UsageNotRolledUp, or what it cannot be rated by.

    Callers roll the tenant up first (metering.rollups). Raises DatabaseError, and drafts none then.
    """
    with transaction.atomic():
        locked = _locked_subscriptions([subscription.pk for subscription, _ in due])
        due = [(locked[subscription.pk], period) for subscription, period in due]
        found = _existing(due, as_of)
        to_draft = [each for each in due if each not in found]
        ready = []
        for each, left in zip(to_draft, _buckets_left(to_draft), strict=True):
            if left:
                found[each] = _not_rolled_up(left)
            else:
                ready.append(each)
        keep_prices({subscription.plan_id for subscription, _ in ready})
        found |= zip(ready, _drafted(ready, as_of), strict=True)
        return [found[each] for each in due]


def _locked_subscriptions(ids: Collection[UUID]) -> dict[UUID, Subscription]:
    rows = Subscription.objects.select_for_update(of=("self",)).filter(pk__in=ids)
    # In one order, whoever asks, so that two workers never wait for each other.
    return {row.pk: row for row in rows.select_related("customer", "plan").order_by("pk")}


def _existing(due: Sequence[Due], as_of: datetime) -> dict[Due, Invoice | Exception]:
    """The invoices that are there, and the refusals of periods that are none."""
    invoiced = invoiced_bounds([subscription for subscription, _ in due])
    found: dict[Due, Invoice | Exception] = {}
    for subscription, period in due:
        each, bounds = (subscription, period), invoiced[subscription.pk]
        if as_of < period.end:
            ends = f"it ends at {period.end:%Y-%m-%d %H:%M} UTC"
            found[each] = BillingPeriodNotEnded(ends)
        elif period_at(subscription, period.start, bounds) != period:
            found[each] = NotABillingPeriod(f"{period.start} to {period.end}")
        elif (period.start, period.end) in bounds:
            found[each] = Invoice.objects.get(
                kind=Invoice.Kind.INVOICE, subscription=subscription, period_start=period.start
            )
    return found


def keep_prices(plan_ids: Collection[UUID]) -> None:
    """Hold off changes of the prices of all the plans' versions, and of their currencies, until
    this transaction ends; one that is under way is waited for, and read."""
    with connection.cursor() as cursor:
        for statement in (
            "SELECT FROM billing_planversion WHERE plan_id = ANY(%s) ORDER BY id FOR SHARE",
            "SELECT FROM billing_plan WHERE id = ANY(%s) ORDER BY id FOR SHARE",
        ):
            cursor.execute(statement, [list(plan_ids)])


def _drafted(due: Sequence[Due], as_of: datetime) -> list[Invoice | Exception]:
    plans = Plan.objects.in_bulk({subscription.plan_id for subscription, _ in due})
    for subscription, _ in due:
        subscription.plan = plans[subscription.plan_id]
    agreed = Agreed([subscription for subscription, _ in due])
    seller = Tenant.objects.get(pk=current_tenant_id()).name
    found: list[Invoice | Exception] = []
    documents = []
    for (subscription, period), charged in zip(
        due, charged_lines_of_many(due, agreed), strict=True
    ):
        if isinstance(charged, Exception):
            found.append(charged)
            continue
        rated, lines = charged
        version = agreed.version_at(subscription, period.start)
        invoice = Invoice(
            customer=subscription.customer,
            subscription=subscription,
            plan_version=version,
            period_start=period.start,
            period_end=period.end,
            currency=rated.currency.code,
            created_at=as_of,
            seller=seller,
            **names_of_today(subscription.customer, version),
        )
        found.append(invoice)
        documents.append(Document(invoice, lines))
    _store(documents)
    drafts = [document.invoice for document in documents]
    tell_of_invoices("invoice.created", drafts, as_of=as_of)
    return found


def _store(documents: Sequence[Document]) -> None:
    if not documents:
        return
    late = late_lines_of_many([document.invoice for document in documents])
    for document, more in zip(documents, late, strict=True):
        if more:
            document.lines = [*_charged_after(document.invoice, more), *more]
    tax(documents, tax_basis([document.invoice.customer_id for document in documents]))
    Invoice.objects.bulk_create(document.invoice for document in documents)
    store(documents)


def _charged_after(draft: Invoice, late: Sequence[NewLine]) -> list[NewLine]:
    """The lines of a draft's own period, which may go on from one that late usage changes."""
    return charged_lines(draft.subscription, period_of(draft), late=late)[1]


def names_of_today(customer: Customer, version: PlanVersion) -> dict[str, str]:
    """What an invoice keeps of the names of whom it bills and of the plan."""
    return {
        "billed_to": customer.name,
        "customer_reference": customer.reference,
        "time_zone": customer.time_zone,
        "plan_label": str(version),
    }


def require_rolled_up(customer: Customer, period: Period) -> None:
    """Everything acknowledged is in the rollups: a bucket that a worker is computing right now is
    waited for, one that nobody has taken on yet stops the operation. Raises UsageNotRolledUp."""
    (left,) = _buckets_left_of([(customer.pk, period)])
    if left:
        raise _not_rolled_up(left)


def _not_rolled_up(left: int) -> UsageNotRolledUp:
    return UsageNotRolledUp(f"{left} buckets wait for the worker; try again in a few seconds")


def _buckets_left(due: Sequence[Due]) -> list[int]:
    return _buckets_left_of([(subscription.customer_id, period) for subscription, period in due])


def _buckets_left_of(asked: Sequence[tuple[UUID, Period]]) -> list[int]:
    """Of each customer's period, how many buckets are not rolled up."""
    if not asked:
        return []
    own = [
        {usage.application_id for usage in periods} for periods in billable_periods_of_many(asked)
    ]
    pending = DirtyBucket.objects.filter(
        application_id__in=set[UUID]().union(*own),
        bucket_start__gte=min(period.start for _, period in asked),
        bucket_start__lt=max(period.end for _, period in asked),
    )
    marks = list(pending.select_for_update().values_list("application_id", "bucket_start"))
    return [
        sum(
            application_id in applications and period.start <= bucket < period.end
            for application_id, bucket in marks
        )
        for (_, period), applications in zip(asked, own, strict=True)
    ]
