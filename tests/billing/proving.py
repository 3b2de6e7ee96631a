"""Signed usage of last month, ingested, rolled up and invoiced: what a proof is about."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
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
from tests.verify.running import run, verifier_in

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
        return self.bundle_of(self.invoice, samples=samples)

    def bundle_of(self, document: Invoice, *, samples: Period | None = None) -> bytes:
        out = BytesIO()
        with tenant_scope(self.tenant.pk):
            stored = Invoice.objects.get(pk=document.pk)
            export_proof(stored, out, as_of=timezone.now(), samples=samples)
        return out.getvalue()

    def deliver_more(self, start: datetime, count: int = 40) -> None:
        """Usage that nobody knew of before."""
        late = batch(*usage_from(start, count), epoch=str(uuid4()), measurements=MEASURED)
        assert deliver(self.agent, late).status_code == 200
        roll_up(self.tenant.pk)

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


def every_kind() -> list[Price]:
    """A price of each kind, and each way to read usage."""
    tiers = [
        {"up_to": "20", "unit_price": "0.05", "flat_fee": "0"},
        {"up_to": None, "unit_price": "0.04", "flat_fee": "2"},
    ]
    cpu = {"meter": "cpu.time", "aggregation": "sum", "unit": "CPU-second"}
    orders = {"meter": "shop.orders", "aggregation": "sum", "unit": "one"}
    rows = [
        {"values": ["primary"], "unit_price": "0.01"},
        {"values": ["standby"], "unit_price": "0.002"},
    ]
    of_cpu = {"percent": "7.5", "of": ["cpu"]}
    return [
        Price(
            label="CPU", code="cpu", kind="volume", tiers=tiers, minimum=Decimal(50),
            allowance=Decimal(3), **cpu,
        ),
        Price(
            label="Orders", code="orders", kind="package", unit_price=Decimal("1.5"),
            definition={"size": "100"}, maximum=Decimal(9), **orders,
        ),
        Price(
            label="Roles", code="roles", kind="matrix", definition={"by": ["role"], "rows": rows},
            **cpu,
        ),
        Price(
            label="Burst", code="burst", meter="cpu.time", aggregation="percentile",
            unit="CPU", unit_price=Decimal("0.3"), percentile=Decimal("99.9"),
            interval_minutes=10,
        ),
        Price(
            label="Peak", code="peak", meter="cpu.time", aggregation="peak", unit="CPU",
            unit_price=Decimal("0.2"), over="customer",
        ),
        Price(label="Base", code="base", kind="flat", unit_price=Decimal("4.99")),
        Price(label="Support", code="support", kind="percentage", definition=of_cpu),
    ]  # fmt: skip


def prove(tenant: Tenant, **chosen: Any) -> Proven:
    """As drafted(), and finalized."""
    proven = drafted(tenant, **chosen)
    outcome = finalize_drafts(tenant.pk, as_of=timezone.now(), also_incomplete=True)
    assert not outcome.failures, outcome.failures
    (invoice,) = outcome.invoices
    return replace(proven, invoice=invoice)


def drafted(
    tenant: Tenant,
    *,
    batches: int = 3,
    prices: Callable[[], list[Price]] = prices,
    before_closing: Callable[[datetime], None] | None = None,
    **version: Any,
) -> Proven:
    """Deliver, roll up and close last month, whose invoice is a draft; `before_closing` is given
    the first bucket with usage."""
    now = timezone.now()
    start = last_month_of(now)
    with tenant_scope(tenant.pk):
        customer = Customer.objects.create(name="Kite Ltd", reference="kite")
        Environment.objects.update(default_customer=customer)
        plan = Plan.objects.create(name="Proven", currency="EUR")
        publish_plan_version(plan, Offer(prices(), start - timedelta(days=40), **version))
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
    if before_closing is not None:
        with tenant_scope(tenant.pk):
            before_closing(first)
        roll_up(tenant.pk)
    (invoice,) = close_tenant(tenant.pk, as_of=now).invoices
    return Proven(tenant, customer, invoice, agent, first)


def said_of(bundle: bytes, folder: Path) -> tuple[int, list[str]]:
    """The verifier's exit code and lines."""
    path = folder / "bundle.zip"
    path.write_bytes(bundle)
    done = run(verifier_in(folder), "verify", path)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def deliver(agent: Agent, document: dict[str, Any]) -> Any:
    """As the real agent does it: a header with its clock is signed as well."""
    body = json.dumps(document).encode()
    clock = str(int(timezone.now().timestamp() * 1_000))
    covered = ("@method", "@path", "content-digest", "hostmeter-time")
    headers = agent.signed(body, covered=covered, time=clock)
    return agent.post(body, headers | {"Hostmeter-Time": clock})
