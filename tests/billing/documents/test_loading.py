"""What stands in the database becomes the document that all files are made of."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from billing.documents.loading import invoice_document
from billing.logo import clean_logo
from billing.models import BillingDetails, BillingSettings, Invoice, InvoiceLine, InvoiceTax
from billing.operations import close_due, finalize_invoice
from tests.billing.documents.samples import LOGO
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use

pytestmark = pytest.mark.usefixtures("inside")


def draft() -> tuple[Story, Invoice]:
    """100 CPU-hours at 0.01 and 12 GB over two tiers, in the Berlin October of 2026."""
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US, disk_bytes=12 * 10**9)
    (made,) = close_due(as_of=NOVEMBER)
    return story, made


def settle() -> None:
    BillingSettings.objects.create(
        legal_name="First Host GmbH", country="DE", vat_id="DE123456788", iban="DE02 1203 0000",
        language="de", colour="#123456", logo_svg=LOGO,
    )  # fmt: skip


class TestDocument:
    def test_has_the_lines_with_a_price_where_there_is_one(self) -> None:
        _, made = draft()
        loaded = invoice_document(made)
        by_label = {line.label: line for line in loaded.lines}
        assert by_label["CPU time"].unit_price == Decimal("0.01")
        assert by_label["CPU time"].quantity == Decimal(100)
        # 10 GB at 0.05 and 2 GB at 0.04 are no quantity times one price.
        assert by_label["Disk writes"].unit_price is None
        assert by_label["Disk writes"].amount == Decimal("0.58")
        assert loaded.total == Decimal("1.58")

    def test_has_local_days_whose_last_is_within_the_period(self) -> None:
        _, made = draft()
        loaded = invoice_document(made)
        assert (loaded.first_day, loaded.last_day) == (date(2026, 10, 1), date(2026, 10, 31))

    def test_of_a_draft_is_one_and_shows_todays_parties(self) -> None:
        story, made = draft()
        settle()
        BillingDetails.objects.create(
            customer=story.customer,
            legal_name="Shop Limited",
            country="IE",
            purchase_order="PO 1",
            peppol_id="0088:7300010000001",
        )
        loaded = invoice_document(made)
        assert loaded.is_draft
        assert loaded.reference == ""
        assert (loaded.seller.name, loaded.seller.identifier) == ("First Host GmbH", "first-host")
        assert (loaded.buyer.name, loaded.buyer.country) == ("Shop Limited", "IE")
        assert loaded.purchase_order == "PO 1"
        assert loaded.buyer.peppol_id == "0088:7300010000001"
        assert loaded.iban == "DE0212030000"
        assert (loaded.colour, loaded.logo_svg) == ("#123456", clean_logo(LOGO))

    def test_without_settings_names_tenant_and_customer(self) -> None:
        _, made = draft()
        loaded = invoice_document(made)
        assert (loaded.seller.name, loaded.buyer.name) == ("First-Host", "Shop-Ltd")
        assert loaded.language == "en"

    def test_keeps_the_words_of_its_day(self) -> None:
        _, made = draft()
        settle()
        made.seller_details = {"legal_name": "Old Host", "country": "AT", "language": "de"}
        made.buyer_details = {"legal_name": "Old Shop", "country": "DE", "language": "de"}
        loaded = invoice_document(made)
        assert (loaded.seller.name, loaded.buyer.name) == ("Old Host", "Old Shop")
        assert (loaded.seller.country, loaded.seller.vat_id) == ("AT", "")
        assert loaded.language == "de"

    def test_writes_vat_ids_as_programs_do(self) -> None:
        _, made = draft()
        made.seller_details = {"country": "NL", "vat_id": "nl 0044.95.445.B01"}
        assert invoice_document(made).seller.vat_id == "NL004495445B01"

    def test_of_prices_with_tax_has_lines_without_it(self) -> None:
        _, made = draft()
        InvoiceLine.objects.filter(invoice=made).update(tax_category="S", tax_percent=19)
        made.tax_inclusive, made.tax_total = True, Decimal("0.25")
        InvoiceTax.objects.create(
            invoice=made, category="S", percent=19, taxable=Decimal("1.33"), tax=Decimal("0.25")
        )
        loaded = invoice_document(made)
        assert (loaded.net, loaded.tax, loaded.gross) == (
            Decimal("1.33"), Decimal("0.25"), Decimal("1.58"),
        )  # fmt: skip
        assert sum(line.net for line in loaded.lines) == loaded.net

    def test_is_the_same_when_read_again(self) -> None:
        _, made = draft()
        issued = finalize_invoice(made, as_of=NOVEMBER + timedelta(hours=1))
        again = Invoice.objects.get(pk=issued.pk)
        assert invoice_document(again) == invoice_document(Invoice.objects.get(pk=issued.pk))
        assert invoice_document(again).reference == issued.reference
