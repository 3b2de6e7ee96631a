"""An issued invoice reads the same for good, and says what has come since."""

import re
from datetime import date
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import BillingDetails, BillingSettings, Invoice, Plan, TaxRate
from billing.operations import (
    NewGrant,
    close_due,
    finalize_invoice,
    grant_credit,
    record_payment,
    restate_invoice,
    void_invoice,
)
from metering.models import Application
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.late import deliver
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use


def issued(tenant: Tenant) -> tuple[Story, list[str]]:
    """The story, and the invoice's addresses in the portal: its own and its line's."""
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        line = invoice.lines.get()
    return story, [
        reverse("portal:invoice", args=[invoice.pk]),
        reverse("portal:invoice-line", args=[invoice.pk, line.pk]),
    ]


def content(page: str) -> str:
    """What stands below the page's head, which names the reader."""
    return page.partition("<main")[2].partition("</main>")[0]


def test_its_words_stay_when_everything_is_renamed(tenant: Tenant) -> None:
    story, (page, line_page) = issued(tenant)
    reader = signed_in(tenant, "viewer", customer=story.customer)
    before = content(reader.get(page).content.decode())
    with tenant_scope(tenant.pk):
        Customer.objects.update(name="Other GmbH", time_zone="America/New_York")
        Plan.objects.update(name="Renamed")
        Application.objects.filter(pk=story.shop.pk).update(name="renamed")
        Environment.objects.update(name="renamed")
        Tenant.objects.update(name="Renamed")
    assert content(reader.get(page).content.decode()) == before
    assert "Shop-Ltd" in before
    line = content(reader.get(line_page).content.decode())
    assert "shop-ltd-shop" in line
    assert "enamed" not in line


@pytest.fixture(params=["short", "long"])
def whether_long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an invoice of few lines, and as one of so many that it is not rated anew for nothing."""
    if request.param == "long":
        monkeypatch.setattr("billing.queries.issued._RATED_ANEW_MAX", 0)


@pytest.mark.usefixtures("whether_long")
def test_usage_that_came_later_is_named(tenant: Tenant) -> None:
    story, (page, _) = issued(tenant)
    reader: Client = signed_in(tenant, "viewer", customer=story.customer)
    assert "has changed since" not in reader.get(page).content.decode()
    with tenant_scope(tenant.pk):
        # It had no line before.
        use(story.mail, at(10, 6), cpu_us=900 * HOUR_US)
    shown = content(reader.get(page).content.decode()).replace("\u00a0", " ")
    assert "Usage of this period has changed since: +" in shown
    assert "9.00" in shown.partition("has changed since")[2].partition(", not on this invoice")[0]
    staff = signed_in(tenant)
    invoice_id = page.strip("/").split("/")[-1]
    admin = staff.get(reverse("admin:billing_invoice_change", args=[invoice_id]))
    assert "+9.00 EUR, not on this invoice" in admin.content.decode()


def shown(reader: Client, invoice: Invoice) -> str:
    page = reader.get(reverse("portal:invoice", args=[invoice.pk]))
    assert page.status_code == 200
    return content(page.content.decode()).replace("\u00a0", " ")


def test_it_says_how_it_comes_to_what_is_to_be_paid(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        BillingSettings.objects.create(legal_name="First Host GmbH", country="DE")
        TaxRate.objects.create(name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1))
        story = begin_story()
        BillingDetails.objects.create(customer=story.customer, country="DE")
        use(story.shop, at(10, 3), cpu_us=10_000 * HOUR_US)
        grant_credit(NewGrant(story.customer, "promotional", "EUR", Decimal(9)), as_of=NOVEMBER)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        record_payment(
            invoice, Decimal(50), received_on=date(2026, 11, 5), reference="bank 7", as_of=at(11, 6)
        )
    page = shown(signed_in(tenant, "viewer", customer=story.customer), invoice)
    assert "First Host GmbH" in page
    assert "Tax of 19% on €100.00" in page
    for amount in ("€19.00", "€119.00", "€9.00", "€50.00", "€60.00"):
        assert amount in page
    assert "bank 7" in page
    assert "partly paid" in page


def test_a_note_and_its_invoice_lead_to_each_other(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        deliver(story.shop, at(10, 6), cpu_us=900 * HOUR_US, received_at=at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        line = note.lines.get()
    reader = signed_in(tenant, "viewer", customer=story.customer)
    for page, other in ((shown(reader, invoice), note), (shown(reader, note), invoice)):
        assert reverse("portal:invoice", args=[other.pk]) in page
        assert "became known after" in page
    window = re.sub(r"<[^>]+>", "", shown(reader, note)).replace("\u00a0", " ")
    assert "Changed: 6 Oct 2026, 02:00 to 03:00" in window
    assert "web-1 received 2 Nov 2026, 01:00 CET" in window
    listed = reader.get(reverse("portal:invoices")).content.decode()
    assert "debit note DN-1" in listed
    line_page = reverse("portal:invoice-line", args=[note.pk, line.pk])
    its_page = re.sub(r"<[^>]+>", "", reader.get(line_page).content.decode())
    assert "late usage of 1" in its_page
    assert "Changed: 6 Oct 2026, 02:00 to 03:00" in its_page.replace("\u00a0", " ")
    assert reader.get(f"{line_page}days/2026-10-06/").status_code == 404


def test_a_void_invoice_and_its_credit_note_say_so(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        note = void_invoice(invoice, "billed twice", as_of=NOVEMBER)
    reader = signed_in(tenant, "viewer", customer=story.customer)
    assert "was taken back in full" in shown(reader, invoice)
    assert "This credit note takes off" in shown(reader, note)
    assert "billed twice" in shown(reader, note)
