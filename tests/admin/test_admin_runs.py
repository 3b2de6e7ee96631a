"""Billing runs in the admin."""

import pytest
from django.urls import reverse

from billing.models import BillingRun, BillingShard, Invoice
from billing.operations.runs import close_next_shard, start_run
from billing.tasks import work_on_run
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

LIST = reverse("admin:billing_billingrun_changelist")
BEGIN = reverse("admin:billing_billingrun_close_due")


def october(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=HOUR_US)


class TestTheList:
    def test_says_how_far_a_run_is(self, tenant: Tenant) -> None:
        october(tenant)
        with tenant_scope(tenant.pk):
            run = start_run(as_of=NOVEMBER, at=NOVEMBER)
            assert run is not None
        client = signed_in(tenant)
        assert "0% of 1 subscriptions" in client.get(LIST).content.decode()
        with tenant_scope(tenant.pk):
            close_next_shard(run, at=NOVEMBER)
        assert "100% of 1 subscriptions" in client.get(LIST).content.decode()

    def test_leads_to_what_could_not_be_closed(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            run = BillingRun.objects.create(as_of=NOVEMBER, subscriptions=2)
            BillingShard.objects.create(
                run=run, position=1, done_at=NOVEMBER, failures=[["shop-ltd", "no <tax> rate"]]
            )
        page = signed_in(tenant).get(reverse("admin:billing_billingrun_change", args=[run.pk]))
        assert "shop-ltd: no &lt;tax&gt; rate" in page.content.decode()


@pytest.mark.django_db(transaction=True)
class TestClosingByHand:
    def test_asks_first_and_then_has_the_workers_do_it(self, tenant: Tenant) -> None:
        october(tenant)
        client = signed_in(tenant)
        assert "Close what is due?" in client.get(BEGIN).content.decode()
        page = client.post(BEGIN, follow=True)
        assert "The run has begun" in page.content.decode()
        assert page["Refresh"] == "2"
        with tenant_scope(tenant.pk):
            run = BillingRun.objects.get()
        # October, and each month that has ended since.
        drafted = work_on_run(str(tenant.pk), str(run.pk))
        with tenant_scope(tenant.pk):
            assert Invoice.objects.count() == drafted > 0
        assert "Refresh" not in client.get(LIST)

    def test_says_when_nothing_is_due(self, tenant: Tenant) -> None:
        page = signed_in(tenant).post(BEGIN, follow=True).content.decode()
        assert "Nothing is due" in page

    def test_is_not_for_who_only_looks(self, tenant: Tenant) -> None:
        assert signed_in(tenant, "viewer").post(BEGIN).status_code in {302, 403}
        with tenant_scope(tenant.pk):
            assert not BillingRun.objects.exists()
