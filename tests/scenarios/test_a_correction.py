"""October is invoiced; then it turns out that a host counted some of it twice. The operator's
program corrects the usage, and the customer gets the money back with the reason for it."""

import io
from decimal import Decimal

import pypdf
import pytest
from django.utils import timezone

from billing.closing import restate_tenant
from billing.documents.files import document_file
from billing.documents.loading import invoice_document
from billing.models import BillingDetails, BillingSettings, Invoice
from billing.operations import close_due, finalize_invoice
from billing.queries.reconciliation import Reconciliation
from metering.corrections import delete_usage
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.api.calling import done, program_of
from tests.billing.late import deliver, note_at, stored
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story

REASON = "The clock of web-1 ran twice as fast."


def files_of(invoice: Invoice) -> list[bytes]:
    document = invoice_document(Invoice.objects.get(pk=invoice.pk))
    return [document_file(document, form) for form in ("pdf", "json", "cii", "focus")]


@pytest.mark.django_db
def test_a_correction_after_invoicing_becomes_a_credit_note(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        BillingSettings.objects.create(legal_name="First Host", country="DE", vat_id="DE136695976")
        BillingDetails.objects.create(customer=story.customer, country="DE")
        deliver(story.shop, at(10, 5, 7), cpu_us=250 * HOUR_US, received_at=at(10, 5, 8))
        deliver(story.mail, at(10, 5, 7), cpu_us=100 * HOUR_US, received_at=at(10, 5, 8))
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert invoice.total == Decimal("3.50")
        before, files = stored(invoice), files_of(invoice)

    correction = {
        "application_id": str(story.shop.pk),
        "starts_at": "2026-10-05T07:00:00Z",
        "ends_at": "2026-10-05T08:00:00Z",
        "quantities": {"cpu.time": 125 * HOUR_US},
        "reason": REASON,
        "author": "ann@first-host.example",
    }
    done(program_of(tenant).post("/corrections", correction), 201)
    roll_up(tenant.pk)
    with tenant_scope(tenant.pk):
        note_at(at(11, 5))
    (note,) = restate_tenant(tenant.pk, as_of=at(11, 6)).invoices

    with tenant_scope(tenant.pk):
        assert (note.kind, note.total, note.refers_to) == ("credit_note", Decimal("1.25"), invoice)
        assert note.reason == f"Correction of usage: {REASON}"
        line = note.lines.get()
        assert line.application_name == story.shop.name
        assert line.raw_quantity == 125 * HOUR_US
        (window,) = line.facts["windows"]
        assert (window["from"], window["to"]) == ("2026-10-05T07:00:00Z", "2026-10-05T08:00:00Z")
        assert window["batches"] == []
        (made,) = window["corrections"]
        assert (made["kind"], made["reason"]) == ("replace", REASON)
        assert made["author"].startswith("ann@first-host.example")
        page = pypdf.PdfReader(io.BytesIO(files_of(note)[0])).pages[0].extract_text()
        assert REASON in page.replace("\n", " ")

        assert (stored(invoice), files_of(invoice)) == (before, files)
        invoice.refresh_from_db()
        assert (invoice.amount_credited, invoice.open_amount) == (Decimal("1.25"), Decimal("2.25"))
        assert list(Reconciliation.begin().differences()) == []

    assert restate_tenant(tenant.pk, as_of=at(11, 7)).invoices == []


@pytest.mark.django_db
def test_late_usage_after_a_correction_is_not_told_as_one(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        deliver(story.shop, at(10, 5, 7), cpu_us=250 * HOUR_US, received_at=at(10, 5, 8))
        (draft,) = close_due(as_of=NOVEMBER)
        finalize_invoice(draft, as_of=NOVEMBER)
        delete_usage(
            story.shop, (at(10, 5, 7), at(10, 5, 7, 5)),
            reason=REASON, author="ann@first-host.example", as_of=timezone.now(),
        )  # fmt: skip
    roll_up(tenant.pk)
    with tenant_scope(tenant.pk):
        note_at(at(11, 5))
    (first,) = restate_tenant(tenant.pk, as_of=at(11, 6)).invoices
    with tenant_scope(tenant.pk):
        deliver(story.shop, at(10, 5, 7, 30), cpu_us=100 * HOUR_US, received_at=at(11, 8))
    (second,) = restate_tenant(tenant.pk, as_of=at(11, 9)).invoices

    assert first.reason.startswith("Correction of usage")
    assert second.reason == "Usage that became known after the invoice was issued"
