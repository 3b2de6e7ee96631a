"""One customer's life, step by step, in whatever order: what has to hold after each step, and how
what was billed is held against the bill of a twin whose usage had all been known in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Greatest

from billing.models import (
    BillingDetails,
    Discount,
    Invoice,
    InvoiceLine,
    InvoiceNumbering,
    InvoiceTerms,
    LateUsage,
    Plan,
    PlanTerms,
    Price,
    Subscription,
)
from billing.operations import (
    Agreement,
    Offer,
    close_due,
    finalize_invoice,
    publish_plan_version,
    restate_invoice,
    subscribe,
    void_invoice,
)
from billing.queries.reconciliation import Reconciliation
from billing.queries.restatement import changed_invoices
from metering.core.buckets import bucket_of
from metering.models import Application, Assignment, DirtyBucket, Instance
from metering.rollup_models import Rollup
from metering.rollups import roll_up
from tenants.models import Customer, Environment
from tenants.scope import current_tenant_id
from tests.billing.late import deliver, stored
from tests.billing.timeline import HOUR_US, assign, cpu_price


def _months_before(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


# Samples are kept for some more months than a year.
START = _months_before(datetime.now(UTC), 10)
END = _months_before(datetime.now(UTC), 0) + timedelta(days=20)
FOREVER = timedelta(days=3_000)
ROUNDS_MAX = 12


@dataclass(frozen=True)
class Tariff:
    """What a plan version charges."""

    unit_price: str = "1"
    allowance: str = "0"
    rollover_periods: int = 0
    fee: str = "0"
    fee_in_advance: bool = False
    minimum: str = "0"

    def prices(self) -> list[Price]:
        usage = cpu_price(self.unit_price, self.allowance)
        usage.code = "cpu"
        usage.rollover_periods = self.rollover_periods if Decimal(self.allowance) else 0
        prices = [usage]
        if Decimal(self.fee):
            timing = "advance" if self.fee_in_advance else "arrears"
            prices.append(
                Price(
                    label="Fee", code="fee", kind="flat", unit_price=Decimal(self.fee),
                    definition={"timing": timing},
                )
            )  # fmt: skip
        return prices


def publish(plan: Plan, tariff: Tariff, effective_from: datetime, *, at_once: bool) -> None:
    offer = Offer(tariff.prices(), effective_from, takes_effect="at_once" if at_once else "period")
    version = publish_plan_version(plan, offer)
    if Decimal(tariff.minimum):
        PlanTerms.objects.create(
            plan_version=version, currency=plan.currency, minimum=Decimal(tariff.minimum)
        )


class Life:
    """The customer, and the clock of their life."""

    def __init__(self, tariff: Tariff, currency: str, zone: str, agreed: Agreement) -> None:
        self.now = START + timedelta(hours=1)
        self.agreed = agreed
        self.customer = Customer.objects.create(name="Shop", reference="shop", time_zone=zone)
        self.plan = Plan.objects.create(name="Hosting", currency=currency)
        publish(self.plan, tariff, START, at_once=False)
        environment = Environment.objects.get(name="production")
        self.apps = [
            Application.objects.create(environment=environment, name=name, first_seen_at=START)
            for name in ("shop", "mail")
        ]
        for app in self.apps:
            assign(app, self.customer, START)
        self.subscription = subscribe(self.customer, self.plan, starts_at=START, agreed=agreed)
        self._as_issued: dict[UUID, tuple[object, ...]] = {}

    def wait(self, days: int) -> None:
        self.now = min(self.now + timedelta(days=days), END)

    def use(self, app: int, when: datetime, hours: int) -> None:
        deliver(self.apps[app], when, cpu_us=hours * HOUR_US, received_at=self.now)

    def changed(self) -> None:
        """Roll up what was corrected or delivered again; what that changes becomes known now."""
        known = set(LateUsage.objects.values_list("pk", flat=True))
        roll_up(current_tenant_id())
        LateUsage.objects.exclude(pk__in=known).update(noted_at=self.now)

    def deliver_again(self, app: int, when: datetime) -> None:
        DirtyBucket.objects.create(
            tenant_id=current_tenant_id(),
            application_id=self.apps[app].pk,
            bucket_start=bucket_of(when),
        )
        self.changed()

    def restate(self) -> list[Invoice]:
        """What a run of the restating task issues."""
        made = [
            restate_invoice(each, as_of=self.now)
            for each in changed_invoices(noted_before=self.now + FOREVER)
        ]
        return [note for note in made if note is not None]

    def documents(self, **of: Any) -> list[Invoice]:
        found = Invoice.objects.filter(customer=self.customer, **of)
        return list(found.order_by("created_at", "period_start", "pk"))

    def drafts(self) -> list[Invoice]:
        found = self.documents(finalized_at__isnull=True)
        return sorted(found, key=lambda each: each.period_start)

    def issued(self) -> list[Invoice]:
        return self.documents(finalized_at__isnull=False)

    def check(self) -> None:
        """What holds after every step, whatever it was."""
        # What is deferred to the commit, as that entries sum to zero.
        connection.check_constraints()
        assert list(Reconciliation.begin().differences()) == []
        self._check_numbers()
        self._check_nothing_issued_changed()

    def _check_numbers(self) -> None:
        for numbering in InvoiceNumbering.objects.all():
            numbers = Invoice.objects.filter(series=numbering.series, number__isnull=False)
            given = list(numbers.order_by("number").values_list("number", flat=True))
            assert given == list(range(1, numbering.last_number + 1)), numbering.series

    def _check_nothing_issued_changed(self) -> None:
        for document in self.issued():
            terms = InvoiceTerms.objects.get(invoice=document).body
            now = (*stored(document), terms)
            assert self._as_issued.setdefault(document.pk, now) == now, document

    def settle(self) -> None:
        """Close and issue all that is left, and restate until nothing more comes of it."""
        self.now = END + FOREVER
        open_ended = Subscription.objects.filter(customer=self.customer, ends_at__isnull=True)
        open_ended.update(ends_at=Greatest(F("starts_at") + timedelta(days=1), Value(END)))
        close_due(as_of=self.now)
        for draft in self.drafts():
            finalize_invoice(draft, as_of=self.now)
        self._look_again_at_what_was_undone()
        for _ in range(ROUNDS_MAX):
            if not self.restate() and not changed_invoices(noted_before=self.now + FOREVER):
                return
        raise AssertionError("restating comes to no end")

    def _look_again_at_what_was_undone(self) -> None:
        """A debit note that was taken back is made again with the next change of its period."""
        debits = self.documents(kind=Invoice.Kind.DEBIT_NOTE, status=Invoice.Status.VOID)
        for note in debits:
            assert note.refers_to is not None
            LateUsage.objects.create(invoice=note.refers_to, noted_at=self.now)

    def billed(self) -> Decimal:
        """All documents together."""
        return sum((_signed(each) for each in self.issued()), Decimal(0))


def _signed(document: Invoice) -> Decimal:
    taken_off = document.kind == Invoice.Kind.CREDIT_NOTE
    return -document.total if taken_off else document.total


def billed_for(invoice: Invoice) -> Decimal:
    """What all documents together bill for an invoice's period, or give back of it."""
    late = InvoiceLine.objects.filter(kind=InvoiceLine.Kind.LATE_USAGE)
    on_later = late.filter(
        facts__restates=str(invoice.pk),
        invoice__kind=Invoice.Kind.INVOICE,
        invoice__finalized_at__isnull=False,
    ).exclude(invoice__status=Invoice.Status.VOID)
    notes = invoice.notes.filter(finalized_at__isnull=False).exclude(status=Invoice.Status.VOID)
    own = invoice.total - _sum(late.filter(invoice=invoice))
    if invoice.status == Invoice.Status.VOID:
        # The credit note that took it back also took back what it bore of earlier periods.
        own = invoice.total
    return own + sum(map(_signed, notes), Decimal(0)) + _sum(on_later)


def _sum(lines: Any) -> Decimal:
    return sum(lines.values_list("amount", flat=True), Decimal(0))


def twin_of(life: Life) -> list[Invoice]:
    """The invoices of another customer who agreed to the same, and whose usage was all known when
    each period was closed: in the order of the periods, void where those of the first are."""
    customer = Customer.objects.create(
        name="Twin", reference="twin", time_zone=life.customer.time_zone
    )
    if BillingDetails.objects.filter(customer=life.customer).exists():
        BillingDetails.objects.create(customer=customer, country="DE")
    for app in life.apps:
        _copy_usage(app, customer)
    for discount in Discount.objects.filter(customer=life.customer):
        discount.pk, discount._state.adding = None, True
        discount.customer = customer
        discount.save(force_insert=True)
    for own in Subscription.objects.filter(customer=life.customer).order_by("starts_at"):
        twin = subscribe(customer, own.plan, starts_at=own.starts_at, agreed=life.agreed)
        Subscription.objects.filter(pk=twin.pk).update(ends_at=own.ends_at)
    close_due(as_of=life.now)
    void = {
        each.period_start
        for each in life.documents(kind=Invoice.Kind.INVOICE, status=Invoice.Status.VOID)
    }
    issued = []
    for draft in Invoice.objects.filter(customer=customer).order_by("period_start"):
        invoice = finalize_invoice(draft, as_of=life.now)
        if invoice.period_start in void:
            void_invoice(invoice, "as the other one", as_of=life.now)
            invoice.refresh_from_db()
        issued.append(invoice)
    return issued


def _copy_usage(app: Application, customer: Customer) -> None:
    twin = Application.objects.create(
        environment=app.environment, name=f"{app.name}-twin", first_seen_at=START
    )
    Assignment.objects.create(application=twin, customer=customer, starts_at=START)
    instances: dict[UUID, Instance] = {}
    for rollup in Rollup.objects.filter(application=app).select_related("instance"):
        own = rollup.instance
        if own.pk not in instances:
            instances[own.pk] = Instance.objects.create(
                application=twin, host=own.host, name=own.name
            )
        fields = {
            field.attname: getattr(rollup, field.attname)
            for field in Rollup._meta.concrete_fields
            if not field.primary_key
        }
        fields |= {"application_id": twin.pk, "instance_id": instances[own.pk].pk}
        Rollup.objects.create(**fields)


def compare_with_twin(life: Life) -> None:
    """Each period came to the same, and so did all of them."""
    twins = twin_of(life)
    own = life.documents(kind=Invoice.Kind.INVOICE)
    assert _bounds(own) == _bounds(twins)
    expected = {each.period_start: _standing_total(each) for each in twins}
    found = {each.period_start: billed_for(each) for each in own}
    assert found == expected
    assert life.billed() == sum(expected.values(), Decimal(0))


def _standing_total(invoice: Invoice) -> Decimal:
    return Decimal(0) if invoice.status == Invoice.Status.VOID else invoice.total


def _bounds(invoices: Sequence[Invoice]) -> list[tuple[datetime, datetime]]:
    return sorted((each.period_start, each.period_end) for each in invoices)


def agreement(commitment: Decimal | None) -> Agreement:
    plain = Agreement()
    if commitment is None:
        return plain
    return replace(plain, commitment=commitment, commitment_interval="quarterly")
