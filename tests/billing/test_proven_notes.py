"""Notes, and late usage on a later invoice, are recomputed from bundles of their own."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from billing.closing import close_tenant, finalize_drafts
from billing.models import BillingSettings, Invoice, InvoiceLine
from billing.operations import finalize_invoice, restate_invoice, void_invoice
from metering.corrections import delete_usage
from metering.models import Application, SampleBatch
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import Proven, drafted, every_kind, last_month_of, prove, said_of
from tests.verify.rebuilding import contents_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def proven(tenant: Tenant) -> Proven:
    return prove(tenant)


def restated(proven: Proven) -> Invoice:
    with tenant_scope(proven.tenant.pk):
        note = restate_invoice(Invoice.objects.get(pk=proven.invoice.pk), as_of=timezone.now())
    assert note is not None
    return note


def delete_an_hour(proven: Proven) -> None:
    delete_usage_of(proven, "shop", hours=1)


def delete_usage_of(proven: Proven, name: str, *, hours: int) -> None:
    with tenant_scope(proven.tenant.pk):
        delete_usage(
            Application.objects.get(name=name),
            (proven.first, proven.first + timedelta(hours=hours)),
            reason="A test ran", author="owner@first.example", as_of=timezone.now(),
        )  # fmt: skip
    roll_up(proven.tenant.pk)


def voided(proven: Proven, document: Invoice) -> Invoice:
    with tenant_scope(proven.tenant.pk):
        stored = Invoice.objects.get(pk=document.pk)
        return void_invoice(stored, "It was another's", as_of=timezone.now())


class TestANote:
    def test_of_late_usage_is_recomputed_line_by_line(self, proven: Proven, tmp_path: Path) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        note = restated(proven)
        assert note.kind == Invoice.Kind.DEBIT_NOTE
        code, said = said_of(proven.bundle_of(note, samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said
        changes = [line for line in said if f"changes {proven.invoice.reference}" in line]
        with tenant_scope(proven.tenant.pk):
            assert len(changes) == note.lines.count() > 1

    def test_names_the_batches_that_the_invoice_was_not_rated_by(self, tenant: Tenant) -> None:
        """A run began before the usage came that its invoice was rated by."""
        proven = drafted(tenant)
        began = timezone.now()
        proven.deliver_more(proven.first + timedelta(minutes=2))
        with tenant_scope(tenant.pk):
            finalize_invoice(Invoice.objects.get(pk=proven.invoice.pk), as_of=began)
        proven.deliver_more(proven.first + timedelta(minutes=3))
        note = restated(proven)
        with tenant_scope(tenant.pk):
            named = {
                batch["epoch"]
                for line in note.lines.all()
                for window in line.facts["windows"]
                for batch in window["batches"]
            }
            assert named == {str(SampleBatch.objects.latest("received_at").epoch)}

    def test_of_prices_of_every_kind_is_recomputed(self, tenant: Tenant, tmp_path: Path) -> None:
        proven = prove(tenant, prices=every_kind)
        proven.deliver_more(proven.first + timedelta(minutes=2))
        code, said = said_of(proven.bundle_of(restated(proven)), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said

    def test_after_others_is_recomputed_with_what_they_billed(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        first = restated(proven)
        delete_an_hour(proven)
        second = restated(proven)
        assert second.kind == Invoice.Kind.CREDIT_NOTE
        proven.deliver_more(proven.first + timedelta(hours=7))
        third = restated(proven)
        for document in (proven.invoice, first, second, third):
            code, said = said_of(proven.bundle_of(document), tmp_path)
            assert (code, said[-1]) == (0, "PASS"), said[-1]

    def test_is_proven_by_what_was_known_when_it_was_issued(self, proven: Proven) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        note = restated(proven)
        before = proven.bundle_of(note)
        delete_an_hour(proven)
        restated(proven)
        assert proven.bundle_of(note) == before

    def test_that_takes_an_invoice_back_is_recomputed(self, proven: Proven, tmp_path: Path) -> None:
        delete_an_hour(proven)
        credit = restated(proven)
        note = voided(proven, proven.invoice)
        code, said = said_of(proven.bundle_of(note), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said
        for reference in (proven.invoice.reference, credit.reference):
            assert any(f"takes back {reference}" in line for line in said)

    def test_that_charges_back_what_was_taken_off_too_much_is_recomputed(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        debit = restated(proven)
        for name in ("shop", "mail"):
            delete_usage_of(proven, name, hours=24)
        assert restated(proven).total > proven.invoice.total
        voided(proven, debit)
        note = voided(proven, proven.invoice)
        assert note.kind == Invoice.Kind.DEBIT_NOTE
        code, said = said_of(proven.bundle_of(note), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said

    def test_that_takes_a_debit_note_back_is_recomputed(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        note = voided(proven, restated(proven))
        code, said = said_of(proven.bundle_of(note), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said

    def test_after_one_that_was_taken_back_is_recomputed(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        proven.deliver_more(proven.first + timedelta(minutes=2))
        voided(proven, restated(proven))
        proven.deliver_more(proven.first + timedelta(hours=7))
        code, said = said_of(proven.bundle_of(restated(proven)), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said


class TestLateUsageOnTheNextInvoice:
    def test_is_recomputed_with_both_periods_usage(self, tenant: Tenant, tmp_path: Path) -> None:
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(
                legal_name="First Host", country="DE", late_usage_days=90,
                late_usage=BillingSettings.LateUsage.NEXT_INVOICE,
            )  # fmt: skip
        proven = prove(tenant)
        proven.deliver_more(proven.first + timedelta(minutes=2))
        this_month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        assert last_month_of(this_month) == proven.invoice.period_start
        after = this_month + timedelta(days=33)
        close_tenant(tenant.pk, as_of=after)
        (invoice,) = finalize_drafts(tenant.pk, as_of=after, also_incomplete=True).invoices
        with tenant_scope(tenant.pk):
            kinds = set(invoice.lines.values_list("kind", flat=True))
        assert InvoiceLine.Kind.LATE_USAGE in kinds
        code, said = said_of(proven.bundle_of(invoice), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said
        assert any(f"changes {proven.invoice.reference}" in line for line in said)
        voided(proven, proven.invoice)
        with tenant_scope(tenant.pk):
            BillingSettings.objects.update(late_usage=BillingSettings.LateUsage.NOTE)
        note = restated(proven)
        assert note.kind == Invoice.Kind.CREDIT_NOTE
        # What late usage of a period that was taken back was billed is given back.
        code, said = said_of(proven.bundle_of(note), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said


class TestTheTerms:
    def test_are_those_of_the_day_on_which_the_invoice_was_issued(self, proven: Proven) -> None:
        before = json.loads(contents_of(proven.bundle())["terms.json"])
        assert before["kept"] is True
        with tenant_scope(proven.tenant.pk):
            subscription = proven.invoice.subscription
            subscription.ends_at = timezone.now() + timedelta(days=1)
            subscription.save()
        assert json.loads(contents_of(proven.bundle())["terms.json"]) == before
