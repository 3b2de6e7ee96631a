"""Signed usage of last month, ingested, rolled up and invoiced: what a proof is about."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import uuid4

from django.utils import timezone

from billing.closing import close_tenant, finalize_drafts
from billing.core.periods import Period
from billing.models import Invoice, Plan, Price
from billing.operations import Offer, publish_plan_version, subscribe
from billing.proof.bundle import export_proof
from metering.core.buckets import bucket_of
from metering.rollups import roll_up
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, sample

MEASURED = {
    "a": {"meters": {"cpu.time": ["exact", "cgroup/2"], "memory.used": ["sampled", "cgroup/2"]}},
    "b": {"meters": {"cpu.time": ["lower_bound", "proc/1"]}},
}


def prices() -> list[Price]:
    return [
        Price(
            label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-second",
            unit_price=Decimal("0.0123"), allowance=Decimal(5),
        ),
        Price(
            label="Memory", meter="memory.used", aggregation="integral", unit="GB-hour",
            kind="graduated",
            tiers=[
                {"up_to": "2", "unit_price": "0.5", "flat_fee": "1"},
                {"up_to": None, "unit_price": "0.25", "flat_fee": "0"},
            ],
        ),
        Price(
            label="Orders", meter="shop.orders", aggregation="sum", unit="one",
            unit_price=Decimal("0.01"),
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Proven:
    """An issued invoice and the host whose batches it rests on."""

    tenant: Tenant
    customer: Customer
    invoice: Invoice
    agent: Agent
    first: datetime

    def bundle(self, *, samples: Period | None = None) -> bytes:
        out = BytesIO()
        with tenant_scope(self.tenant.pk):
            invoice = Invoice.objects.get(pk=self.invoice.pk)
            export_proof(invoice, out, as_of=timezone.now(), samples=samples)
        return out.getvalue()

    def hour(self) -> Period:
        """The first hour with usage."""
        start = self.first.replace(minute=0)
        return Period(start, start + timedelta(hours=1))


def usage_from(start: datetime, count: int) -> list[dict[str, Any]]:
    """Windows of ten seconds of two applications, measured in several ways."""
    samples = []
    for number in range(count):
        window = start + timedelta(seconds=10 * (number % 30) + 300 * (number // 30))
        more: dict[str, Any] = {} if number % 5 else {"shop.orders": number + 1}
        samples.append(
            sample(
                application=("shop", "mail")[number % 2],
                instance=f"i-{number % 3}",
                window=[window.isoformat(), (window + timedelta(seconds=10)).isoformat()],
                usage={"cpu.time": 1_000_000 + number, "memory.used": 10**12 + number} | more,
                coverage=0.5 if number % 7 == 0 else 1,
                **({} if number % 11 == 0 else {"measured": "b" if number % 13 == 0 else "a"}),
            )
        )
    return samples


def last_month_of(moment: datetime) -> datetime:
    """The first moment of the month before."""
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=1)).replace(day=1)


def prove(tenant: Tenant, *, batches: int = 3, covered: tuple[str, ...] = ()) -> Proven:
    """Deliver, roll up, close and finalize last month."""
    now = timezone.now()
    start = last_month_of(now)
    with tenant_scope(tenant.pk):
        customer = Customer.objects.create(name="Kite Ltd", reference="kite")
        Environment.objects.update(default_customer=customer)
        plan = Plan.objects.create(name="Proven", currency="EUR")
        publish_plan_version(plan, Offer(prices(), start - timedelta(days=40)))
        subscribe(customer, plan, starts_at=start)
    agent = Agent(tenant).enrol()
    epoch, first = str(uuid4()), bucket_of(start + timedelta(days=2, hours=5))
    for number in range(batches):
        document = batch(
            *usage_from(first + timedelta(hours=number), 70),
            epoch=epoch, sequence=number + 1, measurements=MEASURED,
        )  # fmt: skip
        answer = deliver(agent, document)
        assert answer.status_code == 200, answer.content
    roll_up(tenant.pk)
    close_tenant(tenant.pk, as_of=now)
    outcome = finalize_drafts(tenant.pk, as_of=timezone.now(), also_incomplete=True)
    assert not outcome.failures, outcome.failures
    (invoice,) = outcome.invoices
    return Proven(tenant, customer, invoice, agent, first)


def deliver(agent: Agent, document: dict[str, Any]) -> Any:
    """As the real agent does it: a header with its clock is signed as well."""
    import json

    body = json.dumps(document).encode()
    clock = str(int(timezone.now().timestamp() * 1_000))
    covered = ("@method", "@path", "content-digest", "hostmeter-time")
    headers = agent.signed(body, covered=covered, time=clock)
    return agent.post(body, headers | {"Hostmeter-Time": clock})
