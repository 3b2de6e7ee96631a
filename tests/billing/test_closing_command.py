"""`close_billing_period`, and what it takes care of before it closes."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice
from billing.operations import UsageNotRolledUp, close_due, finalize_invoice
from metering.models import DirtyBucket
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use


def run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("close_billing_period", *arguments, stdout=out)
    return out.getvalue().splitlines()


class TestTheCommand:
    def test_prints_a_line_for_each_invoice_and_then_nothing(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        arguments = ("--tenant", "first-host", "--as-of", "2026-11-02T00:00:00Z")
        assert run(*arguments) == [
            "draft: shop-ltd, 2026-10-01 00:00 to 2026-10-31 23:00 UTC, 1.00 EUR"
        ]
        assert run(*arguments) == []
        assert run(*arguments, "--finalize") == [
            "invoice 1: shop-ltd, 2026-10-01 00:00 to 2026-10-31 23:00 UTC, 1.00 EUR"
        ]
        assert run(*arguments, "--finalize") == []

    def test_says_so_when_nothing_is_due(self, tenant: Tenant) -> None:
        said = io.StringIO()
        call_command("close_billing_period", "--tenant", tenant.slug, stderr=said)
        assert said.getvalue().startswith("nothing is due")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--tenant", "nobody"), "no tenant 'nobody'; there are: first-host"),
            (("--tenant", "first-host", "--as-of", "soon"), "not an ISO 8601 instant"),
            (("--tenant", "first-host", "--as-of", "2026-11-01T00:00"), "has no offset"),
            (("--tenant", "first-host", "--as-of", "2999-01-01T00:00Z"), "in the future"),
        ],
    )
    def test_says_what_is_wrong_in_one_line(
        self, tenant: Tenant, arguments: tuple[str, ...], reason: str
    ) -> None:
        with pytest.raises(CommandError, match=reason) as refusal:
            run(*arguments)
        assert "\n" not in str(refusal.value)

    def test_rolls_up_what_was_acknowledged_first(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            DirtyBucket.objects.create(
                tenant=tenant, application_id=story.shop.pk, bucket_start=at(10, 3)
            )
        run("--tenant", "first-host", "--as-of", "2026-11-02T00:00:00Z")
        with tenant_scope(tenant.pk):
            assert Invoice.objects.exists()
            assert not DirtyBucket.objects.exists()


@pytest.mark.usefixtures("inside")
class TestUsageThatIsNotRolledUp:
    def test_keeps_its_own_period_from_closing(self, tenant: Tenant) -> None:
        story = begin_story()
        mark = DirtyBucket.objects.create(
            tenant=tenant, application_id=story.shop.pk, bucket_start=at(10, 3)
        )
        with pytest.raises(UsageNotRolledUp):
            close_due(as_of=NOVEMBER)
        mark.bucket_start = at(11, 3)
        mark.save()
        (draft,) = close_due(as_of=NOVEMBER)
        mark.bucket_start = at(10, 3)
        mark.save()
        with pytest.raises(UsageNotRolledUp):
            finalize_invoice(draft, as_of=NOVEMBER)
        draft.refresh_from_db()
        assert draft.number is None
