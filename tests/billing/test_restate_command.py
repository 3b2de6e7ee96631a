"""`restate`, by hand."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.management.commands import restate as command
from billing.models import BillingSettings, Invoice, LateUsage
from billing.operations import close_due, finalize_invoice
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.late import note_at
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use


def run(*arguments: str) -> tuple[list[str], list[str]]:
    out, said = io.StringIO(), io.StringIO()
    call_command("restate", "--tenant", "first-host", *arguments, stdout=out, stderr=said)
    return out.getvalue().splitlines(), said.getvalue().splitlines()


@pytest.fixture
def story(tenant: Tenant) -> Story:
    """October is invoiced to two customers; of both usage came afterwards."""
    with tenant_scope(tenant.pk):
        story, other = begin_story(), begin_story("mail-ltd", "Mail plan")
        for draft in close_due(as_of=NOVEMBER):
            finalize_invoice(draft, as_of=NOVEMBER)
        for each in (story, other):
            use(each.shop, at(10, 6), cpu_us=500 * HOUR_US)
        note_at(at(11, 2))
    return story


class TestTheCommand:
    def test_prints_each_note_and_makes_none_twice(self, story: Story) -> None:
        notes, said = run()
        assert sorted(note.split(": ")[1].split(", ")[0] for note in notes) == [
            "mail-ltd", "shop-ltd",
        ]  # fmt: skip
        assert notes[0].startswith("Debit note DN-1: ")
        assert notes[0].endswith(", 5.00 EUR")
        assert said == []
        assert run() == (
            [],
            ["nothing to restate: no usage of an issued invoice has changed since"],
        )

    def test_does_not_wait_for_an_hour_without_news(self, tenant: Tenant, story: Story) -> None:
        run()
        with tenant_scope(tenant.pk):
            # What becomes known just now is in time, whenever now is.
            BillingSettings.objects.create(
                legal_name="First Host", country="DE", late_usage_days=32_000
            )
            use(story.shop, at(10, 7), cpu_us=100 * HOUR_US)
        (note,), _ = run()
        assert note.endswith(", 1.00 EUR")

    def test_takes_one_customer(self, tenant: Tenant, story: Story) -> None:
        notes, _ = run("--customer", "shop-ltd")
        assert len(notes) == 1
        assert "shop-ltd" in notes[0]
        with tenant_scope(tenant.pk):
            assert Invoice.objects.filter(kind="debit_note").count() == 1
            assert LateUsage.objects.exists()

    def test_says_what_came_too_late_and_what_waits(self, tenant: Tenant, story: Story) -> None:
        with tenant_scope(tenant.pk):
            settings = BillingSettings.objects.create(
                legal_name="First Host", country="DE", late_usage="next_invoice"
            )
        notes, said = run("--customer", "shop-ltd")
        assert notes == []
        (line,) = said
        assert line.endswith("its late usage is left to the customer's next invoice")
        with tenant_scope(tenant.pk):
            settings.late_usage_days = 0
            settings.save()
        _, (line,) = run("--customer", "shop-ltd")
        assert line.endswith("its late usage is past your deadline, and is listed as refused")

    def test_bills_what_was_refused_where_it_is_asked_to(
        self, tenant: Tenant, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(legal_name="First Host", country="DE", late_usage_days=0)
        assert run()[0] == []
        notes, _ = run("--customer", "shop-ltd", "--refused")
        assert len(notes) == 1
        assert notes[0].endswith(", 5.00 EUR")
        with tenant_scope(tenant.pk):
            assert LateUsage.objects.get().refused_at is not None

    def test_tells_how_far_it_is(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "_PROGRESS_EVERY_S", 0)
        assert run()[1] == ["1 of 2 invoices, 1 notes", "2 of 2 invoices, 2 notes"]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--tenant", "nobody"), "no tenant 'nobody'; there are: first-host"),
            (("--customer", "nobody"), "no customer 'nobody'"),
        ],
    )
    def test_says_what_is_wrong_in_one_line(
        self, story: Story, arguments: tuple[str, ...], reason: str
    ) -> None:
        with pytest.raises(CommandError, match=reason) as refusal:
            run(*arguments)
        assert "\n" not in str(refusal.value)
