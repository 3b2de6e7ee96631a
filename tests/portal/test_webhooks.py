"""A customer keeps webhook endpoints in the portal, and sends again what did not arrive."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.webhook_forms import TYPES
from tenants.models import Member
from tenants.scope import tenant_scope
from tenants.webhook_delivery import deliver_due
from tenants.webhook_endpoints import disable_endpoint, signing_secrets
from tenants.webhook_events import CUSTOMER_EVENT_TYPES
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint
from tests.portal.test_budgets import page, send, words
from tests.portal.world import World, make_person, visit
from tests.tenants.receiving import receiving


@pytest.fixture
def reader(world: World, client: Client) -> Client:
    """Signed in as one who does more than look."""
    person = make_person("owner@pine.example", world.tenant, Member.Role.OWNER, world.customer)
    client.force_login(person)
    return client


URL = "https://pine.example/hooks"


def only(world: World) -> WebhookEndpoint:
    with tenant_scope(world.tenant.pk):
        return WebhookEndpoint.objects.get()


def act(client: Client, endpoint: WebhookEndpoint, action: str) -> Any:
    return send(client, "webhook-action", {}, endpoint.pk, action)


class TestACustomer:
    def test_is_told_what_webhooks_are_for_before_the_first(self, reader: Client) -> None:
        assert "No endpoint yet" in page(reader, "webhooks")

    def test_adds_an_endpoint_and_sees_its_secret_once(self, reader: Client, world: World) -> None:
        answer = send(reader, "new-webhook", {"url": URL, "event_types": ["invoice.paid"]})
        shown = answer.content.decode()
        (secret,) = re.findall(r"whsec_[\w+/=]+", shown.replace("&#x2B;", "+"))
        assert "no-store" in answer["Cache-Control"]
        endpoint = only(world)
        assert endpoint.customer_id == world.customer.pk
        assert signing_secrets(endpoint, as_of=timezone.now()) == [secret]
        assert "whsec_" not in page(reader, "webhook", endpoint.pk)
        assert "an invoice is paid" in page(reader, "webhook", endpoint.pk)

    @pytest.mark.parametrize(
        "url", ["https://127.0.0.1/", "http://pine.example/", "nothing", "https://a b.example/"]
    )
    def test_is_told_what_an_address_has_to_be(
        self, reader: Client, world: World, url: str
    ) -> None:
        answer = send(reader, "new-webhook", {"url": url})
        assert "lies on the public Internet" in answer.content.decode()
        with tenant_scope(world.tenant.pk):
            assert not WebhookEndpoint.objects.exists()

    def test_is_told_of_nothing_that_is_the_providers(self, reader: Client) -> None:
        answer = send(reader, "new-webhook", {"url": URL, "event_types": ["agent.silent"]})
        assert "Select a valid choice" in answer.content.decode()

    def test_changes_disables_enables_and_removes_it(self, reader: Client, world: World) -> None:
        send(reader, "new-webhook", {"url": URL})
        endpoint = only(world)
        send(reader, "edit-webhook", {"url": f"{URL}/2", "description": "Books"}, endpoint.pk)
        assert "Books" in page(reader, "webhooks")
        act(reader, endpoint, "disable")
        assert "Nothing is sent to it until you enable it" in page(reader, "webhook", endpoint.pk)
        refused = reader.post(
            reverse("portal:webhook-action", args=[endpoint.pk, "test"]), follow=True
        )
        assert "enable it first" in refused.content.decode()
        act(reader, endpoint, "enable")
        assert only(world).is_enabled
        act(reader, endpoint, "remove")
        assert "No endpoint yet" in page(reader, "webhooks")

    def test_makes_a_new_secret(self, reader: Client, world: World) -> None:
        send(reader, "new-webhook", {"url": URL})
        endpoint = only(world)
        assert "24 hours" in page(reader, "webhook-action", endpoint.pk, "rotate")
        assert "whsec_" in act(reader, endpoint, "rotate").content.decode()
        assert "signs as well until" in words(page(reader, "webhook", endpoint.pk))

    def test_tries_it_sees_the_answer_and_sends_again(
        self, reader: Client, world: World, settings: Any
    ) -> None:
        settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
        with receiving() as receiver:
            receiver.answers = [(500, "<b>no</b>"), (204, "")]
            send(reader, "new-webhook", {"url": receiver.url})
            endpoint = only(world)
            act(reader, endpoint, "test")
            deliver_due([world.tenant.pk], as_of=timezone.now())
            with tenant_scope(world.tenant.pk):
                delivery = WebhookDelivery.objects.get()
            shown = page(reader, "webhook-delivery", delivery.pk)
            assert "&lt;b&gt;no&lt;/b&gt;" in shown
            assert "webhook.test" in shown
            send(reader, "webhook-delivery", {}, delivery.pk)
            deliver_due([world.tenant.pk], as_of=timezone.now())
            assert len(receiver.messages) == 2
        assert "delivered" in words(page(reader, "webhook-delivery", delivery.pk))

    def test_is_told_why_nothing_is_sent_again(self, reader: Client, world: World) -> None:
        send(reader, "new-webhook", {"url": URL})
        endpoint = only(world)
        act(reader, endpoint, "test")
        with tenant_scope(world.tenant.pk):
            disable_endpoint(endpoint, "for now", as_of=timezone.now())
            delivery = WebhookDelivery.objects.get()
        address = reverse("portal:webhook-delivery", args=[delivery.pk])
        assert "enable it first" in reader.post(address, follow=True).content.decode()

    def test_reads_it_in_german(self, reader: Client, world: World) -> None:
        german = reader.get(reverse("portal:webhooks"), headers={"Accept-Language": "de"})
        assert "Noch kein Endpunkt" in german.content.decode()


class TestStaff:
    def test_who_may_not_keep_endpoints_only_look(self, staff: Client, world: World) -> None:
        # Those who bill keep none in the admin either.
        visit(staff, world.customer, may_change=True)
        assert send(staff, "new-webhook", {"url": URL}).status_code == 403
        operator = Client()
        operator.force_login(make_person("ops@first.example", world.tenant, Member.Role.OPERATOR))
        visit(operator, world.customer, may_change=True)
        assert send(operator, "new-webhook", {"url": URL}).status_code == 200
        assert only(world).customer_id is not None


def test_every_type_that_a_customer_is_told_has_its_words() -> None:
    assert tuple(TYPES) == CUSTOMER_EVENT_TYPES
