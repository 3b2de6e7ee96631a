"""A customer pays on the payment service's own pages, and never twice."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from billing.collecting import submit
from billing.models import PaymentAttempt
from tenants.access_models import AuditEntry
from tenants.models import Customer, Member
from tenants.scope import tenant_scope
from tests.billing.payments.conftest import Billed, Fake, billed, fake
from tests.portal.world import World, make_person

__all__ = ["billed", "fake"]


@pytest.fixture
def payer(billed: Billed) -> Client:
    client = Client()
    person = make_person("payer@first.example", billed.tenant, Member.Role.BILLING, billed.customer)
    client.force_login(person)
    return client


def asked(billed: Billed) -> PaymentAttempt:
    """What a worker makes of the attempt that was begun last."""
    with tenant_scope(billed.tenant_id):
        attempt = PaymentAttempt.objects.latest("created_at")
    done = submit(billed.tenant_id, attempt.pk, as_of=billed.as_of)
    assert done is not None
    return done


class TestPaying:
    def test_leads_to_the_payment_page_and_back_to_a_paid_invoice(
        self, billed: Billed, fake: Fake, payer: Client
    ) -> None:
        invoice = billed.invoice.pk
        assert "Pay now" in payer.get(reverse("portal:invoice", args=[invoice])).content.decode()
        answer = payer.post(reverse("portal:pay", args=[invoice]))
        assert answer["Location"] == reverse("portal:payment", args=[invoice])
        waiting = payer.get(answer["Location"]).content.decode()
        assert "One moment" in waiting
        assert 'http-equiv="refresh" content="2"' in waiting
        attempt = asked(billed)
        assert attempt.state == "requires_action"
        page = payer.get(answer["Location"]).content.decode()
        assert f'content="0; url={attempt.hand_over_url}"' in page

    def test_twice_at_once_begins_one_attempt(self, billed: Billed, payer: Client) -> None:
        for _ in range(2):
            payer.post(reverse("portal:pay", args=[billed.invoice.pk]))
        with tenant_scope(billed.tenant_id):
            assert PaymentAttempt.objects.count() == 1

    def test_with_a_saved_method_is_done_at_once(
        self, billed: Billed, fake: Fake, payer: Client
    ) -> None:
        method = billed.card()
        payer.post(reverse("portal:pay", args=[billed.invoice.pk]), {"method": method})
        assert asked(billed).state == "succeeded"
        page = payer.get(reverse("portal:payment", args=[billed.invoice.pk])).content.decode()
        assert "Paid. Thank you." in page
        assert len(fake.charges()) == 1

    def test_says_why_it_did_not_go_through(self, billed: Billed, payer: Client) -> None:
        method = billed.card("pm_card_chargeCustomerFail")
        payer.post(reverse("portal:pay", args=[billed.invoice.pk]), {"method": method})
        asked(billed)
        page = payer.get(reverse("portal:payment", args=[billed.invoice.pk])).content.decode()
        assert "The payment did not go through" in page
        assert "declined" in page

    def test_with_a_method_of_someone_else_is_refused(self, billed: Billed, payer: Client) -> None:
        url = reverse("portal:pay", args=[billed.invoice.pk])
        assert payer.post(url, {"method": "pm_of_another"}).status_code == 404
        with tenant_scope(billed.tenant_id):
            assert not PaymentAttempt.objects.exists()

    def test_is_nothing_for_who_may_only_read(self, billed: Billed) -> None:
        viewer = Client()
        person = make_person("viewer@first.example", billed.tenant, "viewer", billed.customer)
        viewer.force_login(person)
        url = reverse("portal:invoice", args=[billed.invoice.pk])
        assert "Pay now" not in viewer.get(url).content.decode()
        assert viewer.post(reverse("portal:pay", args=[billed.invoice.pk])).status_code == 403


class TestMethods:
    def test_are_listed_chosen_and_removed(self, billed: Billed, payer: Client) -> None:
        methods = reverse("portal:payment-methods")
        assert "No payment method yet" in payer.get(methods).content.decode()
        method = billed.card()
        page = payer.get(methods).content.decode()
        assert "visa •••• 4242" in page
        assert "pays invoices" in page
        payer.post(reverse("portal:change-payment-method"), {"remove": method})
        assert "No payment method yet" in payer.get(methods).content.decode()
        with tenant_scope(billed.tenant_id):
            removed = AuditEntry.objects.get(action="payment_method_changed")
        assert (removed.actor, removed.subject) == ("payer@first.example", "visa •••• 4242")
        assert removed.customer_id == billed.customer.pk

    def test_are_entered_elsewhere(self, billed: Billed, payer: Client) -> None:
        page = payer.post(reverse("portal:add-payment-method")).content.decode()
        assert 'http-equiv="refresh" content="0; url=http' in page
        assert 'type="text"' not in page

    def test_of_nobody_with_an_account_are_not_offered(self, world: World, reader: Client) -> None:
        page = reader.get(reverse("portal:payment-methods")).content.decode()
        assert "Pine Mail" in page
        assert "takes no cards here" in page or "No payment method yet" in page


class TestIsolation:
    @pytest.fixture
    def own(self, world: World) -> Client:
        """May pay what the first customer owes."""
        client = Client()
        person = make_person("pays@first.example", world.tenant, "billing", world.customer)
        client.force_login(person)
        return client

    def test_what_another_customer_owes_answers_as_what_nobody_does(
        self, world: World, own: Client
    ) -> None:
        theirs, nobodys = world.other_invoice.pk, uuid4()
        for route in ("portal:pay", "portal:payment"):
            answers = [
                own.post(url) if route == "portal:pay" else own.get(url)
                for url in (reverse(route, args=[each]) for each in (theirs, nobodys))
            ]
            assert [each.status_code for each in answers] == [404, 404]
            assert answers[0].content == answers[1].content
        with tenant_scope(world.tenant.pk):
            assert not PaymentAttempt.objects.exists()

    def test_methods_of_another_customer_answer_as_missing_ones(
        self, billed: Billed, payer: Client
    ) -> None:
        """Those that Stripe knows of others are not among the customer's own."""
        method = billed.card()
        with tenant_scope(billed.tenant_id):
            other = Customer.objects.create(name="Reed Shop", reference="reed")
        stranger = Client()
        stranger.force_login(make_person("r@first.example", billed.tenant, "owner", other))
        change = reverse("portal:change-payment-method")
        for each in ({"default": method}, {"remove": method}, {"remove": "pm_nobodys"}):
            assert stranger.post(change, each).status_code == 404
        assert "4242" not in stranger.get(reverse("portal:payment-methods")).content.decode()
        assert "4242" in payer.get(reverse("portal:payment-methods")).content.decode()
