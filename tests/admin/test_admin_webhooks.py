"""Operators keep webhook endpoints in the admin, and send again what did not arrive."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tenants.webhook_delivery import deliver_due
from tenants.webhook_endpoints import add_endpoint, disable_endpoint, send_test
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint
from tests.admin.signing_in import signed_in
from tests.tenants.receiving import receiving

pytestmark = pytest.mark.django_db


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:tenants_{name}", args=args)


@pytest.fixture
def operator(tenant: Tenant) -> Client:
    return signed_in(tenant, "operator")


def added(tenant: Tenant) -> WebhookEndpoint:
    with tenant_scope(tenant.pk):
        return add_endpoint("https://example.com/", as_of=timezone.now())[0]


class TestAnEndpoint:
    def test_is_added_and_its_secret_shown_once(self, tenant: Tenant, operator: Client) -> None:
        form = {"url": "https://example.com/hooks", "event_types": ["invoice.paid"]}
        answer = operator.post(page("webhookendpoint_add"), form)
        assert re.search(r"whsec_[\w+/=]{44}", answer.content.decode())
        assert "no-store" in answer["Cache-Control"]
        with tenant_scope(tenant.pk):
            endpoint = WebhookEndpoint.objects.get()
        change = operator.get(page("webhookendpoint_change", endpoint.pk)).content.decode()
        assert "https://example.com/hooks" in change
        assert "whsec_" not in change

    @pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://example.com/"])
    def test_inside_is_refused_in_words(self, operator: Client, url: str) -> None:
        answer = operator.post(page("webhookendpoint_add"), {"url": url})
        assert answer.status_code == 200
        assert re.search("on the public Internet|begin with https", answer.content.decode())

    def test_of_a_customer_is_told_nothing_of_hosts(self, tenant: Tenant, operator: Client) -> None:
        with tenant_scope(tenant.pk):
            pine = Customer.objects.create(name="Pine", reference="pine")
        form = {"url": "https://example.com/", "customer": pine.pk, "event_types": ["agent.silent"]}
        answer = operator.post(page("webhookendpoint_add"), form)
        assert b"no events of type agent.silent" in answer.content

    def test_gets_a_new_secret(self, tenant: Tenant, operator: Client) -> None:
        endpoint = added(tenant)
        address = page("webhookendpoint_rotate", endpoint.pk)
        assert b"24 hours" in operator.get(address).content
        assert b"whsec_" in operator.post(address).content

    def test_is_sent_a_test_disabled_enabled_and_removed(
        self, tenant: Tenant, operator: Client
    ) -> None:
        endpoint = added(tenant)
        for name in ("test", "switch"):
            operator.post(page(f"webhookendpoint_{name}", endpoint.pk))
        with tenant_scope(tenant.pk):
            assert WebhookDelivery.objects.get().state == "failed"
            assert not WebhookEndpoint.objects.get().is_enabled
        refused = operator.post(page("webhookendpoint_test", endpoint.pk), follow=True)
        assert b"enable it first" in refused.content
        operator.post(page("webhookendpoint_switch", endpoint.pk))
        with tenant_scope(tenant.pk):
            assert WebhookEndpoint.objects.get().is_enabled
        operator.post(
            page("webhookendpoint_changelist"),
            {"action": "remove", "_selected_action": [endpoint.pk]},
        )
        assert (
            b"https://example.com/" not in operator.get(page("webhookendpoint_changelist")).content
        )

    def test_is_left_alone_by_a_viewer(self, tenant: Tenant) -> None:
        endpoint = added(tenant)
        viewer = signed_in(tenant, "viewer")
        assert viewer.post(page("webhookendpoint_rotate", endpoint.pk)).status_code == 403


class TestADelivery:
    def test_shows_what_was_answered_and_is_sent_again(
        self, tenant: Tenant, operator: Client, settings: Any
    ) -> None:
        settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
        with receiving() as receiver:
            receiver.answers = [(500, "database is full"), (204, "")]
            with tenant_scope(tenant.pk):
                endpoint, _ = add_endpoint(receiver.url, as_of=timezone.now())
                delivery = send_test(endpoint, as_of=timezone.now())
            deliver_due([tenant.pk], as_of=timezone.now())
            shown = operator.get(page("webhookdelivery_change", delivery.pk)).content.decode()
            assert "answered 500" in shown
            assert "database is full" in shown
            again = {"action": "replay_chosen", "_selected_action": [delivery.pk]}
            operator.post(page("webhookdelivery_changelist"), again)
            deliver_due([tenant.pk], as_of=timezone.now())
            assert len(receiver.messages) == 2
        with tenant_scope(tenant.pk):
            assert WebhookDelivery.objects.get().state == "delivered"

    def test_of_a_disabled_endpoint_says_what_to_do(self, tenant: Tenant, operator: Client) -> None:
        with tenant_scope(tenant.pk):
            endpoint, _ = add_endpoint("https://example.com/", as_of=timezone.now())
            delivery = send_test(endpoint, as_of=timezone.now())
            disable_endpoint(endpoint, "for now", as_of=timezone.now())
        again = {"action": "replay_chosen", "_selected_action": [delivery.pk]}
        answer = operator.post(page("webhookdelivery_changelist"), again, follow=True)
        assert b"enable it first" in answer.content
