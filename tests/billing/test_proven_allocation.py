"""What is spread of a host's usage is proven as events are, what was taken back of it as well."""

import gzip
import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from billing.models import Price
from metering.allocating import allocate_tenant
from metering.allocation_rules import state_rule
from metering.core.hours import hour_of
from metering.corrections import delete_usage
from metering.models import Application, Host
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import current_tenant_id
from tests.billing.proving import prices, prove, said_of
from tests.verify.rebuilding import contents_of

pytestmark = pytest.mark.django_db


def with_idle_time() -> list[Price]:
    return [
        *prices(),
        Price(
            label="Idle", meter="cpu.time.allocated", aggregation="sum", unit="CPU-hour",
            unit_price=Decimal("0.02"),
        ),
        Price(
            label="Idle memory", meter="memory.used.allocated", aggregation="sum", unit="GB-hour",
            unit_price=Decimal("0.01"),
        ),
    ]  # fmt: skip


def spread(first: datetime) -> None:
    """Then the shop's usage turns out not to have been, so that its part is another's."""
    now, tenant_id = timezone.now(), current_tenant_id()
    Host.objects.update(cpu_count=2, memory_bytes=10**14)
    for meter in ("cpu.time", "memory.used"):
        state_rule(meter, "by_share", starts_at=hour_of(first), author="o", as_of=now)
    assert allocate_tenant(tenant_id, as_of=now).postings == 12
    delete_usage(
        Application.objects.get(name="shop"), (first, first + timedelta(hours=1)),
        reason="A test ran", author="o", as_of=now,
    )  # fmt: skip
    roll_up(tenant_id)
    assert allocate_tenant(tenant_id, as_of=now).postings == 4


def test_an_allocated_line_is_recomputed(tenant: Tenant, tmp_path: Path) -> None:
    proven = prove(tenant, prices=with_idle_time, before_closing=spread)
    bundle = proven.bundle(samples=proven.hour())
    code, said = said_of(bundle, tmp_path)
    assert (code, said[-1]) == (0, "PASS"), said
    assert "events  16  ok" in said
    assert any(line.startswith("Idle memory") and line.endswith("EUR  ok") for line in said)
    written = contents_of(bundle)["events.jsonl.gz"]
    events = [json.loads(line) for line in gzip.decompress(written).splitlines()]
    taken_back = [each for each in events if each["quantity"] < 0]
    assert {each["properties"]["own"] for each in taken_back} == {0}
    assert all(each["properties"]["capacity"] for each in events)
