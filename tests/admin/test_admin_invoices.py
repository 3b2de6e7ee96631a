"""Finalizing is asked about first, and says what it rests on and what it did."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.admin_invoice_actions import shown_period
from billing.models import Invoice
from billing.operations import close_due
from metering.models import Host
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, use

LIST = "/admin/billing/invoice/"


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 5), cpu_us=10**9)
        Host.objects.update(last_seen_at=timezone.now(), last_window_end=timezone.now())
    return story


@pytest.fixture
def draft(tenant: Tenant, story: Story) -> Invoice:
    with tenant_scope(tenant.pk):
        (invoice,) = close_due(as_of=NOVEMBER)
    return invoice


def finalize_page(invoice: Invoice) -> str:
    return reverse("admin:billing_invoice_finalize_one", args=[invoice.pk])


class TestFinalizing:
    def test_happens_once(self, tenant: Tenant, owner: Client, draft: Invoice) -> None:
        page = finalize_page(draft)
        assert b"can never be changed" in owner.get(page).content
        assert owner.post(page).status_code == 302
        second_tab = owner.post(page, follow=True).content.decode()
        assert "Invoice 1 is finalized already." in second_tab
        assert "Invoice 1 is finalized already." in owner.get(page, follow=True).content.decode()
        with tenant_scope(tenant.pk):
            assert Invoice.objects.get().number == 1

    def test_is_offered_for_drafts_alone(self, owner: Client, draft: Invoice) -> None:
        page = reverse("admin:billing_invoice_change", args=[draft.pk])
        assert finalize_page(draft) in owner.get(page).content.decode()
        owner.post(finalize_page(draft))
        assert finalize_page(draft) not in owner.get(page).content.decode()

    def test_of_several_asks_first_and_counts_them(
        self, tenant: Tenant, owner: Client, draft: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            begin_story("second", "Second plan")
            (other,) = close_due(as_of=NOVEMBER)
        owner.post(finalize_page(draft))
        form = {"action": "finalize", "_selected_action": [str(draft.pk), str(other.pk)]}
        asked = owner.post(LIST, form).content.decode()
        assert "Finalize 2 invoices?" in asked
        with tenant_scope(tenant.pk):
            assert Invoice.objects.filter(status=Invoice.Status.DRAFT).count() == 1
        done = owner.post(LIST, form | {"confirmed": "1"}, follow=True).content.decode()
        assert "Finalized: 1, were so already: 1." in done

    def test_says_whether_the_usage_is_complete(
        self, tenant: Tenant, owner: Client, draft: Invoice
    ) -> None:
        assert "usage is complete" in owner.get(finalize_page(draft)).content.decode()
        with tenant_scope(tenant.pk):
            Host.objects.update(
                last_seen_at=timezone.now() - timedelta(days=9), last_window_end=at(10, 20, 8)
            )
        page = owner.get(finalize_page(draft)).content.decode()
        assert "web-1 is silent since 2026-10-20 08:00" in page
        assert "usage is complete" not in page


class TestAnInvoice:
    @pytest.mark.parametrize("page", ["change/", "finalize"])
    def test_that_cannot_exist_is_not_found(self, owner: Client, page: str) -> None:
        answer = owner.get(f"{LIST}foo/{page}", follow=True)
        assert answer.status_code == 200
        assert answer.redirect_chain

    def test_shows_the_clock_unless_its_period_is_whole_days(
        self, tenant: Tenant, draft: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            # October in Berlin, from where the subscription began: 2 o'clock.
            assert shown_period(draft) == "2026-10-01 02:00 to 2026-11-01 00:00 (Europe/Berlin)"
            draft.period_start = at(9, 30, 22)
            assert shown_period(draft) == "2026-10-01 to 2026-10-31"
