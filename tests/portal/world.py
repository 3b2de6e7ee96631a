"""Builds a provider's measured and priced usage, sample by sample, for the portal's tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from uuid import UUID, uuid4

from django.test import Client
from django.utils import timezone

from billing.core.periods import BillingCycle, Period, billing_period_containing
from billing.core.rating import RatedLine
from billing.models import Invoice, InvoiceLine, Plan, PlanVersion, Price, Subscription
from billing.queries import rated_period
from metering.core.buckets import BUCKET, bucket_of
from metering.models import Application, Assignment, Host, Instance, Sample, SampleBatch
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment, Member, Tenant, User
from tenants.scope import tenant_scope
from tests.rows import insert_rows

PASSWORD = "correct horse battery staple"
ZONE = "Europe/Berlin"
_WINDOWS_PER_BUCKET = 30
_WINDOW = BUCKET / _WINDOWS_PER_BUCKET
_MEMORY_BYTES = 512_000_000


@dataclass(frozen=True, slots=True)
class World:
    """One tenant. `other_customer` has usage, prices and an invoice of its own."""

    tenant: Tenant
    customer: Customer
    other_customer: Customer
    application: Application
    other_application: Application
    generated_application: Application
    cpu: Price
    memory: Price
    peak: Price
    unused: Price
    invoice: Invoice
    other_invoice: Invoice
    as_of: datetime

    def line(self) -> InvoiceLine:
        with tenant_scope(self.tenant.pk):
            return self.invoice.lines.get(price=self.cpu, application=self.application)

    def other_line(self) -> InvoiceLine:
        with tenant_scope(self.tenant.pk):
            return self.other_invoice.lines.order_by("position")[0]


def make_person(
    email: str,
    tenant: Tenant | None,
    role: str = Member.Role.VIEWER,
    customer: Customer | None = None,
) -> User:
    """A person with a known password and, in `tenant`, a role."""
    person = User.objects.create_user(email, PASSWORD)
    if tenant is not None:
        with tenant_scope(tenant.pk):
            Member.objects.create(user=person, role=role, customer=customer)
    return person


def visit(
    client: Client, customer: Customer, reason: str = "Request 4711", *, may_change: bool = False
) -> Client:
    """The browser of staff, who then read the customer's pages, and change what they may."""
    asked = {"customer": str(customer.pk), "reason": reason}
    answer = client.post("/switch/", asked | ({"may_change": "on"} if may_change else {}))
    assert answer.status_code == 302
    return client


def make_world(
    tenant: Tenant, *, days: int = 2, buckets_a_day: int = 1, more: Sequence[str] = ()
) -> World:
    """Usage on the first days of this month and of the month before, which is invoiced; the first
    customer has applications called `more` beside its two."""
    with tenant_scope(tenant.pk):
        return _make_world(tenant, days, buckets_a_day, more)


def _make_world(tenant: Tenant, days: int, buckets_a_day: int, more: Sequence[str]) -> World:
    as_of = timezone.now()
    month = billing_period_containing(
        as_of, BillingCycle(as_of - timedelta(days=400), ZONE, "calendar")
    )
    before = billing_period_containing(
        month.start - timedelta(days=3), BillingCycle(as_of - timedelta(days=400), ZONE, "calendar")
    )
    production = Environment.objects.get()
    host = Host.objects.create(
        name="web-1", environment=production, last_seen_at=as_of, last_window_end=as_of
    )
    demo_host = Host.objects.create(
        name="generated-1", environment=production, generated=True, last_window_end=as_of
    )
    customer = Customer.objects.create(name="Pine Mail", reference="pine", time_zone=ZONE)
    other = Customer.objects.create(name="Reed Shop", reference="reed", time_zone=ZONE)
    plan = Plan.objects.create(name="Fair use", currency="EUR")
    version = PlanVersion.objects.create(plan=plan, number=1, effective_from=before.start)
    cpu, memory, peak, unused = _prices(version)
    applications = []
    for name, owner, on in (
        ("postgres", customer, host),
        ("checkout", other, host),
        ("newsletter", customer, demo_host),
        *((name, customer, host) for name in more),
    ):
        instance = _running(name, owner, on, since=before.start)
        for period in (before, month):
            _use(instance, period, as_of, days, buckets_a_day)
        applications.append(instance.application)
    invoices: list[Invoice] = []
    for each in (customer, other):
        subscription = Subscription.objects.create(customer=each, plan=plan, starts_at=before.start)
        invoices.append(issue_invoice(subscription, version, before, number=len(invoices) + 1))
    return World(
        tenant=tenant,
        customer=customer,
        other_customer=other,
        application=applications[0],
        other_application=applications[1],
        generated_application=applications[2],
        cpu=cpu,
        memory=memory,
        peak=peak,
        unused=unused,
        invoice=invoices[0],
        other_invoice=invoices[1],
        as_of=as_of,
    )


def _running(name: str, owner: Customer, on: Host, *, since: datetime) -> Instance:
    application = Application.objects.create(
        name=name, environment=on.environment, generated=on.generated, first_seen_at=since
    )
    Assignment.objects.create(application=application, customer=owner, starts_at=since)
    return Instance.objects.create(application=application, host=on, name=f"{name}.service")


def _prices(version: PlanVersion) -> tuple[Price, ...]:
    cpu = Price.objects.create(
        plan_version=version, position=1, label="CPU time", meter="cpu.time", aggregation="sum",
        unit="CPU-second", unit_price=Decimal("0.0125"), allowance=Decimal(10),
    )  # fmt: skip
    memory = Price.objects.create(
        plan_version=version, position=2, label="Memory", meter="memory.used",
        aggregation="integral", unit="GB-hour", kind="graduated",
        tiers=[
            {"up_to": "0.1", "unit_price": "0.5", "flat_fee": "0"},
            {"up_to": None, "unit_price": "0.25", "flat_fee": "1"},
        ],
    )  # fmt: skip
    peak = Price.objects.create(
        plan_version=version, position=3, label="Peak memory", meter="memory.used.max",
        aggregation="maximum", unit="GB", unit_price=Decimal("0.2"),
    )  # fmt: skip
    unused = Price.objects.create(
        plan_version=version, position=4, label="Launches", meter="launches",
        aggregation="sum", unit="thousand", unit_price=Decimal("0.01"),
    )  # fmt: skip
    return cpu, memory, peak, unused


def _use(instance: Instance, period: Period, as_of: datetime, days: int, buckets: int) -> None:
    usual = 300_000 // (1 + len(instance.name) % 4)
    used = {}
    for day in range(days):
        for number in range(buckets):
            start = period.start + timedelta(days=day, hours=9) + number * BUCKET
            if start + BUCKET <= as_of:
                used[start] = usual + (day * 7 % 5) * usual // 6
    last = bucket_of(as_of)
    if last in period:
        used[last] = 700_001
    use_buckets(instance, used)


def use_buckets(instance: Instance, cpu_us_by_start: Mapping[datetime, int]) -> None:
    """In each bucket 30 windows of 10 s in one signed batch, and the rollup that they make."""
    before = SampleBatch.objects.count()
    batches = [
        SampleBatch(
            host=instance.host, epoch=UUID(int=7), sequence=sequence,
            digest=sha256(uuid4().bytes).digest(), samples=_WINDOWS_PER_BUCKET, key_id="key-1",
            signature_input="", signature="", content_digest="", sent_at=start + BUCKET,
            received_at=start + BUCKET,
        )
        for sequence, start in enumerate(cpu_us_by_start, start=before + 1)
    ]  # fmt: skip
    SampleBatch.objects.bulk_create(batches)
    samples, rollups = [], []
    for batch, (start, cpu_us) in zip(batches, cpu_us_by_start.items(), strict=True):
        samples += [_sample(batch, instance, start, n, cpu_us) for n in range(_WINDOWS_PER_BUCKET)]
        rollups.append(_rollup(instance, start, cpu_us))
    insert_rows(samples)
    insert_rows(rollups)


def _sample(
    batch: SampleBatch, instance: Instance, start: datetime, index: int, cpu_us: int
) -> Sample:
    return Sample(
        tenant=instance.tenant, batch=batch, batch_index=index,
        application=instance.application, instance=instance, role="primary",
        window_start=start + index * _WINDOW, window_end=start + (index + 1) * _WINDOW,
        coverage_ppm=1_000_000, cpu_time=cpu_us + index, memory_used=_MEMORY_BYTES * 10,
        memory_used_max=_MEMORY_BYTES,
    )  # fmt: skip


def _rollup(instance: Instance, start: datetime, cpu_us: int) -> Rollup:
    return Rollup(
        tenant=instance.tenant, application=instance.application, instance=instance,
        role="primary", bucket_start=start, samples=_WINDOWS_PER_BUCKET,
        window_us=300_000_000, covered_us=300_000_000,
        cpu_time=sum(cpu_us + index for index in range(_WINDOWS_PER_BUCKET)),
        memory_used=_MEMORY_BYTES * 10 * _WINDOWS_PER_BUCKET, memory_used_max=_MEMORY_BYTES,
    )  # fmt: skip


def issue_invoice(
    subscription: Subscription, version: PlanVersion, period: Period, *, number: int
) -> Invoice:
    """A finalized invoice with the lines that the usage of the period comes to."""
    rated = rated_period(subscription, period)
    invoice = Invoice.objects.create(
        customer=subscription.customer, subscription=subscription, plan_version=version,
        period_start=period.start, period_end=period.end, currency=rated.currency.code,
        total=rated.total, billed_to=subscription.customer.name,
        customer_reference=subscription.customer.reference,
        time_zone=subscription.customer.time_zone, seller=subscription.tenant.name,
        plan_label=str(version),
    )  # fmt: skip
    for position, line in enumerate(rated.lines, start=1):
        _store(invoice, position, line)
    invoice.status, invoice.number = Invoice.Status.FINALIZED, number
    invoice.finalized_at = period.end + timedelta(hours=2)
    invoice.save(update_fields=["status", "number", "finalized_at"])
    return invoice


def _store(invoice: Invoice, position: int, line: RatedLine) -> None:
    InvoiceLine.objects.create(
        invoice=invoice, position=position, price_id=UUID(line.price_id),
        application_id=UUID(line.application_id), application_name=line.application_name,
        environment_name="production", label=line.label, meter=line.meter,
        unit=line.unit, raw_quantity=line.raw_quantity, quantity=line.quantity,
        unrounded=line.unrounded, amount=line.amount,
        steps=[step.to_json() for step in line.steps],
        refused_quantity=line.provenance.refused, refused_for=list(line.provenance.refused_for),
        measured=line.provenance.to_json(),
    )  # fmt: skip
