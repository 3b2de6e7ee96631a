"""The invoice run in the admin: what is unusual is marked, filtered and sorted; many are finalized
by the workers while a page shows how far they are."""

from unittest.mock import patch
from uuid import uuid4

import pytest
from django.urls import reverse

from billing import admin_invoice_actions, finalizing
from billing.finalizing import finalize_steps
from billing.models import Finalizing, Invoice
from billing.operations.reviews import review_drafts
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.test_finalizing_many import DECEMBER, drafts

LIST = reverse("admin:billing_invoice_changelist")


@pytest.fixture
def reviewed(tenant: Tenant) -> Tenant:
    drafts(tenant)
    with tenant_scope(tenant.pk):
        review_drafts(as_of=DECEMBER)
    return tenant


class TestMarks:
    def test_stand_in_the_list_and_say_why_on_the_draft(self, reviewed: Tenant) -> None:
        client = signed_in(reviewed)
        assert "to look at: an unusual total, late hosts" in client.get(LIST).content.decode()
        with tenant_scope(reviewed.pk):
            november = Invoice.objects.order_by("-period_start")[0]
        page = client.get(reverse("admin:billing_invoice_change", args=[november.pk]))
        assert "9.00 EUR is far above the period before, 1.00 EUR." in page.content.decode()

    def test_can_be_filtered_by_and_sorted(self, reviewed: Tenant) -> None:
        client = signed_in(reviewed)
        for wanted, shown in (
            ({"mark": "total"}, 1),
            ({"mark": "hosts"}, 2),
            ({"unusual": "3"}, 0),
            ({"unusual": "2"}, 2),
            ({"unusual": "0"}, 0),
            ({"mark": "nonsense"}, 2),
        ):
            listed = client.get(LIST, wanted).context["cl"]
            assert listed.result_count == shown, wanted
        column = [*client.get(LIST).context["cl"].list_display].index("unusual")
        assert client.get(LIST, {"o": str(column)}).status_code == 200


class TestManyTogether:
    @pytest.mark.django_db(transaction=True)
    def test_are_finalized_by_the_workers_with_progress(self, tenant: Tenant) -> None:
        drafts(tenant)
        client = signed_in(tenant)
        with tenant_scope(tenant.pk):
            chosen = [str(pk) for pk in Invoice.objects.values_list("pk", flat=True)]
        sent = {"action": "finalize", "_selected_action": chosen, "confirmed": "1"}
        with (
            patch.object(admin_invoice_actions, "_AT_ONCE_MAX", 1),
            patch.object(finalizing, "ask_worker") as asked,
        ):
            page = client.post(LIST, sent, follow=True).content.decode()
        assert "0 of 2" in page
        asked.assert_called_once()
        with tenant_scope(tenant.pk):
            run = Finalizing.objects.get()
        progress = reverse("admin:billing_finalizing_progress", args=[run.pk])
        assert 'value="0"' in client.get(progress).content.decode()
        finalize_steps(tenant.pk, run.pk)
        done = client.get(progress)
        assert done.content.decode() == "<span>2 of 2</span>"
        assert done["HX-Refresh"] == "true"

    def test_progress_of_another_tenant_is_missing(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            theirs = Finalizing.objects.create(author="them@second.example")
        client = signed_in(tenant)
        for pk in (theirs.pk, uuid4()):
            answer = client.get(reverse("admin:billing_finalizing_progress", args=[pk]))
            assert answer.status_code == 404
