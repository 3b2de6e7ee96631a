"""Two instances that both call themselves primary, and different values, in bundles."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing.models import InvoiceLine, Price
from billing.operations.plans import Counting
from metering.core.cloudevents import parse_event
from metering.events import store_events
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import MEASURED, Proven, deliver, every_kind, prove, said_of, usage_from
from tests.metering.delivering import Agent, batch, fresh_token

pytestmark = pytest.mark.django_db


def different() -> list[Price]:
    """What counts different values, beside a price of each other kind."""
    unique = {"meter": "shop.orders", "aggregation": "unique", "unit": "one"}
    counted = [
        Price(
            label=name.capitalize(), code=name, unit_price=Decimal("0.5"), distinct=name, **unique
        )
        for name in ("instance", "host", "environment", "user")
    ]
    return [*every_kind(), *counted]


def failing_over(tenant: Tenant) -> Callable[[datetime], None]:
    """A second host runs the same applications at the same time, and says so as primary."""
    agent = Agent(tenant)
    answer = agent.ask_to_enrol(fresh_token(tenant), name="web-2")
    agent.host, agent.key_id = answer.json()["host"], answer.json()["key_id"]

    def deliver_too(first: datetime) -> None:
        document = batch(*usage_from(first, 50), measurements=MEASURED)
        assert deliver(agent, document).status_code == 200
        now = timezone.now()
        orders: list[dict[str, Any]] = [
            {
                "specversion": "1.0", "id": str(number), "source": "till",
                "type": "hostmeter.usage.v1", "subject": "production/shop",
                "time": first.isoformat(),
                "data": {"meter": "shop.orders", "quantity": 1, "user": user},
            }
            for number, user in enumerate(["ann", "bo", "ann", 7, True])
        ]  # fmt: skip
        store_events([parse_event(each, as_of=now) for each in orders], as_of=now)

    return deliver_too


def failed_over(tenant: Tenant, **chosen: Any) -> Proven:
    later = failing_over(tenant)
    return prove(tenant, prices=different, before_closing=later, **chosen)


class TestTwoPrimaries:
    @pytest.mark.parametrize("primaries", ["one", "every"])
    def test_are_billed_as_the_bundle_says(
        self, tenant: Tenant, tmp_path: Path, primaries: str
    ) -> None:
        proven = failed_over(tenant, counting=Counting(primaries=primaries))
        with tenant_scope(tenant.pk):
            overlapping = InvoiceLine.objects.filter(facts__has_key="overlap")
            assert overlapping.exists() is (primaries == "one")
        code, said = said_of(proven.bundle(), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        labels = {line.split("  ")[0] for line in said}
        assert labels >= {"Instance", "Host", "Environment", "User"}
