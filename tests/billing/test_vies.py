"""Asking VIES for VAT ids, against a small server that speaks as it does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from pytest_django import Settings

from billing.models import BillingDetails
from billing.tasks import check_vat_ids
from billing.vies import due_for_check
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import at

pytestmark = pytest.mark.django_db(transaction=True)

GOOD, UNKNOWN, AWAY = "DE136695976", "ATU13585627", "FR40303265045"


class _Vies(BaseHTTPRequestHandler):
    """Knows one id; France's register is away."""

    def do_GET(self) -> None:
        _, _, country, _, number = self.path.split("/")
        known = country + number == GOOD
        error = "MS_UNAVAILABLE" if country == "FR" else ("VALID" if known else "INVALID")
        body = json.dumps({"isValid": known, "userError": error}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def vies(settings: Settings) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), _Vies)
    settings.VIES_URL = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def billed(tenant: Tenant, vat_id: str) -> BillingDetails:
    with tenant_scope(tenant.pk):
        customer = Customer.objects.create(name=vat_id, reference=vat_id)
        return BillingDetails.objects.create(customer=customer, vat_id=vat_id, country=vat_id[:2])


def check_of(tenant: Tenant, details: BillingDetails) -> str:
    with tenant_scope(tenant.pk):
        return BillingDetails.objects.get(pk=details.pk).vat_check


@pytest.mark.usefixtures("vies")
class TestChecking:
    def test_keeps_what_vies_says(self, tenant: Tenant) -> None:
        rows = [billed(tenant, each) for each in (GOOD, UNKNOWN, AWAY)]
        assert {check_of(tenant, each) for each in rows} == {"unchecked"}
        check_vat_ids()
        assert [check_of(tenant, each) for each in rows] == ["confirmed", "unknown", "unchecked"]

    def test_asks_again_only_when_it_is_time(self, tenant: Tenant) -> None:
        billed(tenant, GOOD)
        check_vat_ids()
        with tenant_scope(tenant.pk):
            details = BillingDetails.objects.get()
            assert details.vat_checked_at is not None
            assert not due_for_check(as_of=details.vat_checked_at)
            assert due_for_check(as_of=at(12, 1).replace(year=2030))

    def test_is_of_the_id_as_it_is_now(self, tenant: Tenant) -> None:
        details = billed(tenant, GOOD)
        check_vat_ids()
        with tenant_scope(tenant.pk):
            BillingDetails.objects.update(vat_id=UNKNOWN)
        assert check_of(tenant, details) == "unchecked"


class TestWithoutANetwork:
    def test_nothing_is_known_and_nothing_fails(self, tenant: Tenant, settings: Settings) -> None:
        settings.VIES_URL = "http://127.0.0.1:1"
        details = billed(tenant, GOOD)
        check_vat_ids()
        assert check_of(tenant, details) == "unchecked"

    def test_nobody_is_asked_where_it_is_switched_off(
        self, tenant: Tenant, settings: Settings
    ) -> None:
        settings.VIES_URL = ""
        details = billed(tenant, GOOD)
        assert check_vat_ids() == 0
        with tenant_scope(tenant.pk):
            assert BillingDetails.objects.get(pk=details.pk).vat_checked_at is None
