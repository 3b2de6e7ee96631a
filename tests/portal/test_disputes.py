"""A customer disputes a line of an invoice below that line."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Dispute
from billing.operations import Decision, Saying, answer_dispute, resolve_dispute
from tenants.models import Member
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person


@pytest.fixture
def payer(world: World) -> Client:
    """Signed in as who keeps the first customer's bills."""
    client = Client()
    client.force_login(
        make_person("ada@first.example", world.tenant, Member.Role.BILLING, world.customer)
    )
    return client


def address(world: World, route: str = "line-dispute") -> str:
    return reverse(f"portal:{route}", args=[world.invoice.pk, world.line().pk])


def objection(**fields: str) -> dict[str, str]:
    return {"saying": str(uuid4()), "reason": "quantity", "words": "We used <less>."} | fields


def dispute_in(world: World) -> Dispute:
    with tenant_scope(world.tenant.pk):
        return Dispute.objects.select_related("invoice", "line").get()


class TestADispute:
    def test_is_opened_below_its_line_once(self, world: World, payer: Client) -> None:
        line = reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
        assert address(world) in payer.get(line).content.decode()
        form = objection()
        for _ in range(2):
            payer.post(address(world), form)
        shown = payer.get(address(world)).content.decode()
        assert shown.count("We used &lt;less&gt;.") == 1
        assert "Withdraw the dispute" in shown
        assert dispute_in(world).opened_by == "ada@first.example"

    def test_is_on_its_invoice_and_leaves_the_rest_to_pay(
        self, world: World, payer: Client
    ) -> None:
        payer.post(address(world), objection())
        page = payer.get(reverse("portal:invoice", args=[world.invoice.pk])).content.decode()
        assert address(world) in page
        assert "Not disputed" in page

    def test_says_what_the_provider_answered_and_decided(self, world: World, payer: Client) -> None:
        payer.post(address(world), objection())
        dispute = dispute_in(world)
        with tenant_scope(world.tenant.pk):
            answer = Saying(uuid4(), "op@first.example", "Look at day 3.")
            answer_dispute(dispute, answer, as_of=world.as_of)
        assert "Look at day 3." in payer.get(address(world)).content.decode()
        payer.post(address(world), {"saying": str(uuid4()), "words": "We did."})
        with tenant_scope(world.tenant.pk):
            end = Saying(uuid4(), "op@first.example", "Your cron job ran.")
            resolve_dispute(dispute, Decision("rejected"), end, as_of=world.as_of)
        shown = payer.get(address(world)).content.decode()
        for words in ("We did.", "Your cron job ran.", "the line stays as it was billed"):
            assert words in shown
        # Who of the provider's staff wrote is theirs to say.
        assert "op@first.example" not in shown

    def test_is_withdrawn(self, world: World, payer: Client) -> None:
        payer.post(address(world), objection())
        for _ in range(2):
            payer.post(address(world, "withdraw-dispute"))
        assert dispute_in(world).status == "withdrawn"
        assert "You withdrew it" in payer.get(address(world)).content.decode()

    def test_needs_words(self, world: World, payer: Client) -> None:
        shown = payer.post(address(world), objection(words=" ")).content.decode()
        assert 'role="alert"' in shown
        assert 'aria-invalid="true"' in shown
        with tenant_scope(world.tenant.pk):
            assert not Dispute.objects.exists()

    def test_speaks_german(self, world: World, payer: Client) -> None:
        payer.post(address(world), objection())
        shown = payer.get(address(world), headers={"Accept-Language": "de"}).content.decode()
        assert "Die Nutzung ist nicht, was wir genutzt haben" in shown


class TestWhoOnlyLooks:
    def test_a_viewer_contests_nothing(self, world: World, reader: Client) -> None:
        assert "Dispute it</button>" not in reader.get(address(world)).content.decode()
        for route in ("line-dispute", "withdraw-dispute"):
            assert reader.post(address(world, route), objection()).status_code == 403

    def test_the_providers_staff_contest_nothing(self, world: World, staff: Client) -> None:
        assert staff.post(address(world), objection()).status_code == 403


class TestIsolation:
    @pytest.mark.parametrize("route", ["line-dispute", "withdraw-dispute"])
    def test_of_another_customer_answers_as_a_missing_one(
        self, world: World, payer: Client, route: str
    ) -> None:
        theirs = reverse(f"portal:{route}", args=[world.other_invoice.pk, world.other_line().pk])
        nobodys = reverse(f"portal:{route}", args=[uuid4(), uuid4()])
        answers = [payer.post(url, objection()) for url in (theirs, nobodys)]
        assert answers[0].status_code == answers[1].status_code == 404
        assert answers[0].content == answers[1].content
