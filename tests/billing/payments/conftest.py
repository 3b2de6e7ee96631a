"""A provider whose customers pay through the fake Stripe, which runs beside the tests."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from billing.fake_stripe.server import FakeStripe
from billing.gateway import Stripe, account_of_tenant
from billing.models import Invoice, PayingCustomer
from billing.operations import close_due, finalize_invoice
from billing.operations.payers import keep_default_method
from billing.payers import known_payer
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use


@dataclass(frozen=True, slots=True)
class Fake:
    """What a test asks of the fake beside what the product does."""

    url: str

    def fail(self, **faults: Any) -> None:
        self._post("faults", faults)

    def forward(self, length: timedelta) -> None:
        self._post("clock", {"forward_s": int(length.total_seconds())})

    def charges(self) -> list[dict[str, Any]]:
        """Every charge that took money."""
        with urlopen(f"{self.url}/_fake/charges") as answer:  # noqa: S310 of this test
            return list(json.load(answer)["charges"])

    def _post(self, what: str, body: dict[str, Any]) -> None:
        request = Request(  # noqa: S310 of this test
            f"{self.url}/_fake/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method="POST",
        )
        urlopen(request).close()  # noqa: S310


@pytest.fixture
def fake(tmp_path: Path, settings: Settings) -> Iterator[Fake]:
    server = FakeStripe(tmp_path / "stripe.sqlite")
    thread = threading.Thread(target=server.serve)
    thread.start()
    settings.STRIPE_API_BASE = server.url
    settings.STRIPE_SECRET_KEY = settings.STRIPE_WEBHOOK_SECRET = ""
    yield Fake(server.url)
    server.stop()
    thread.join()


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice that is to be paid, of a customer whom the processor knows."""

    tenant: Tenant
    story: Story
    invoice: Invoice
    as_of: datetime

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.pk

    @property
    def customer(self) -> Customer:
        return self.story.customer

    def read(self) -> Invoice:
        with tenant_scope(self.tenant_id):
            return Invoice.objects.get(pk=self.invoice.pk)

    def card(self, kind: str = "pm_card_visa") -> str:
        """Save one of Stripe's test cards as what invoices are paid with; its id."""
        with tenant_scope(self.tenant_id):
            processor = Stripe(account_of_tenant())
        payer = known_payer(self.tenant_id, processor, self.customer.pk)
        method = processor._client.v1.payment_methods.attach(kind, {"customer": payer}).id
        processor.set_default_method(payer, method)
        with tenant_scope(self.tenant_id):
            keep_default_method(self.customer.pk, method, "visa •••• 4242")
            assert PayingCustomer.objects.get().method_id == method
        return method


@pytest.fixture
def billed(tenant: Tenant, fake: Fake) -> Billed:
    """One invoice of 12 EUR."""
    with tenant_scope(tenant.pk):
        story = begin_story("bakery", "fair")
        use(story.shop, at(10, 3), cpu_us=1_200 * HOUR_US)
        (invoice,) = close_due(as_of=NOVEMBER)
        issued = finalize_invoice(invoice, as_of=NOVEMBER)
    return Billed(tenant, story, issued, timezone.now())
