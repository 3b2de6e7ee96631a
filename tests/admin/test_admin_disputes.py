"""Operators answer and decide disputes."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import CreditGrant, Dispute
from billing.operations import (
    Saying,
    close_due,
    finalize_invoice,
    open_dispute,
    withdraw_dispute,
)
from billing.operations.notes import void_invoice
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use


@pytest.fixture
def dispute(tenant: Tenant) -> Dispute:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=10_000 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        line = finalize_invoice(draft, as_of=NOVEMBER).lines.get()
        said = Saying(uuid4(), "ada@shop.example", "We used <b>less</b>.")
        return open_dispute(line, "quantity", said, as_of=at(11, 2))


def page(dispute: Dispute, name: str = "change") -> str:
    return reverse(f"admin:billing_dispute_{name}", args=[dispute.pk])


def now(tenant: Tenant, dispute: Dispute) -> Dispute:
    with tenant_scope(tenant.pk):
        return Dispute.objects.get(pk=dispute.pk)


class TestAnOperator:
    def test_reads_what_is_contested_and_said(self, tenant: Tenant, dispute: Dispute) -> None:
        shown = signed_in(tenant, "billing").get(page(dispute)).content.decode()
        assert "We used &lt;b&gt;less&lt;/b&gt;." in shown
        assert "100.00" in shown
        assert page(dispute, "answer_one") in shown
        assert page(dispute, "settle_one") not in shown

    def test_answers_once_what_is_sent_twice(self, tenant: Tenant, dispute: Dispute) -> None:
        client = signed_in(tenant, "billing")
        form = {"saying": str(uuid4()), "words": "Look at day 3.", "confirmed": "1"}
        for _ in range(2):
            client.post(page(dispute, "answer_one"), form)
        assert now(tenant, dispute).status == "answered"
        with tenant_scope(tenant.pk):
            assert dispute.messages.count() == 2

    def test_upholds_and_grants_credit(self, tenant: Tenant, dispute: Dispute) -> None:
        form = {
            "saying": str(uuid4()), "outcome": "upheld", "words": "You are right.",
            "as_credit": "on",
        }  # fmt: skip
        answer = signed_in(tenant, "billing").post(page(dispute, "resolve_one"), form, follow=True)
        assert "Resolved: Upheld." in answer.content.decode()
        with tenant_scope(tenant.pk):
            assert CreditGrant.objects.get().amount == 100

    def test_is_told_what_an_upheld_part_needs(self, tenant: Tenant, dispute: Dispute) -> None:
        form = {"saying": str(uuid4()), "outcome": "upheld_in_part", "words": "Half."}
        answer = signed_in(tenant, "billing").post(page(dispute, "resolve_one"), form)
        assert "less than 100" in answer.content.decode()
        assert now(tenant, dispute).status == "open"

    def test_names_the_credit_note(self, tenant: Tenant, dispute: Dispute) -> None:
        client = signed_in(tenant, "billing")
        form = {"saying": str(uuid4()), "outcome": "upheld", "words": "You are right."}
        client.post(page(dispute, "resolve_one"), form)
        assert "Give it back" in client.get(page(dispute)).content.decode()
        with tenant_scope(tenant.pk):
            note = void_invoice(dispute.invoice, "disputed", as_of=at(11, 4))
        client.post(page(dispute, "settle_one"), {"note": str(note.pk)})
        assert now(tenant, dispute).note_id == note.pk

    def test_sees_those_that_wait_first(self, tenant: Tenant, dispute: Dispute) -> None:
        with tenant_scope(tenant.pk):
            withdraw_dispute(dispute, by="ada@shop.example", as_of=at(11, 3))
            newer = open_dispute(
                dispute.line, "price", Saying(uuid4(), "ada", "Anew"), as_of=at(11, 4)
            )
        client: Client = signed_in(tenant, "billing")
        shown = client.get(reverse("admin:billing_dispute_changelist")).content.decode()
        assert shown.index(page(newer)) < shown.index(page(dispute))

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_without_billing_decides_nothing(
        self, tenant: Tenant, dispute: Dispute, role: str
    ) -> None:
        client = signed_in(tenant, role)
        for name in ("answer_one", "resolve_one", "settle_one"):
            assert client.post(page(dispute, name), {}).status_code == 403
