"""How an issued document looks is kept with it, the logo once for all that show it."""

from dataclasses import replace

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.documents.files import document_file, document_tag
from billing.documents.loading import invoice_document
from billing.logo import LogoNotUsable, clean_logo
from billing.models import BillingSettings, Invoice, Logo
from billing.operations import close_due, finalize_invoice, restate_invoice
from tenants.models import Tenant
from tenants.refusals import constraint_of
from tenants.scope import installation_scope
from tests.billing.documents.samples import LOGO
from tests.billing.late import deliver
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use

pytestmark = pytest.mark.usefixtures("inside")

OTHER = LOGO.replace("#94b5f2", "#ff0000")


def issued(reference: str = "shop-ltd") -> tuple[Story, Invoice]:
    story = begin_story(reference, reference)
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    return story, finalize_invoice(draft, as_of=NOVEMBER)


def pdf_of(invoice: Invoice) -> bytes:
    return document_file(invoice_document(Invoice.objects.get(pk=invoice.pk)), "pdf")


class TestAnIssuedInvoice:
    def test_is_byte_for_byte_the_same_after_the_seller_looks_different(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO, colour="#112233")
        _, invoice = issued()
        before = pdf_of(invoice)
        BillingSettings.objects.update(
            legal_name="Other Host", logo_svg=OTHER, colour="#445566", iban="DE02120300000000202051"
        )
        with installation_scope():
            Tenant.objects.update(name="Other", slug="other")
        assert pdf_of(invoice) == before
        document = invoice_document(Invoice.objects.get(pk=invoice.pk))
        assert document.logo_svg == clean_logo(LOGO)
        assert document.seller.identifier == "first-host"

    def test_of_a_seller_without_a_logo_stays_without(self) -> None:
        settings = BillingSettings.objects.create(legal_name="First Host")
        _, invoice = issued()
        settings.logo_svg = LOGO
        settings.save()
        assert invoice_document(invoice).logo_svg == ""

    def test_that_kept_no_logo_shows_the_one_of_today(self) -> None:
        _, invoice = issued()
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        kept = dict(invoice.seller_details)
        del kept["logo"], kept["slug"]
        invoice.seller_details = kept
        document = invoice_document(invoice)
        assert document.logo_svg == clean_logo(LOGO)
        assert document.seller.identifier == "first-host"

    def test_has_notes_that_look_like_it(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        story, invoice = issued()
        BillingSettings.objects.update(logo_svg=OTHER)
        deliver(story.shop, at(10, 4), cpu_us=250 * HOUR_US, received_at=at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        assert invoice_document(note).logo_svg == clean_logo(LOGO)

    def test_keeps_its_etag_whatever_the_seller_looks_like_now(self) -> None:
        settings = BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        _, invoice = issued()
        tag = document_tag(invoice_document(invoice), "pdf")
        settings.logo_svg = OTHER
        settings.save()
        assert document_tag(invoice_document(invoice), "pdf") == tag


class TestALogo:
    def test_is_kept_once_for_all_invoices(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        for reference in ("one", "two", "three"):
            issued(reference)
        assert Logo.objects.count() == 1

    def test_that_was_kept_cannot_change_or_go(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        issued()
        for change in (lambda: Logo.objects.update(svg=OTHER), Logo.objects.all().delete):
            with pytest.raises(IntegrityError) as refused, transaction.atomic():
                change()
            assert constraint_of(refused.value) == "logo_is_immutable"

    def test_is_stored_with_its_shapes_alone_whichever_way_it_comes(self) -> None:
        hostile = LOGO.replace("</svg>", "<script>alert(1)</script></svg>")
        settings = BillingSettings.objects.create(legal_name="First Host", logo_svg=hostile)
        ways = (
            settings.save,
            lambda: BillingSettings.objects.update(logo_svg=hostile),
            lambda: BillingSettings.objects.bulk_update([settings], ["logo_svg"]),
        )
        for save in ways:
            settings.logo_svg = hostile
            save()
            assert BillingSettings.objects.get().logo_svg == clean_logo(LOGO)

    def test_that_is_none_is_refused(self) -> None:
        settings = BillingSettings.objects.create(legal_name="First Host")
        settings.logo_svg = "<html/>"
        with pytest.raises(ValidationError) as refused:
            settings.full_clean()
        assert "root is not an SVG" in refused.value.message_dict["logo_svg"][0]
        with pytest.raises(LogoNotUsable), transaction.atomic():
            settings.save()

    def test_has_another_etag_than_one_that_looks_different(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", logo_svg=LOGO)
        shown = invoice_document(issued()[1])
        others = (replace(shown, logo_svg=OTHER), replace(shown, colour="#000000"))
        assert len({document_tag(each, "pdf") for each in (shown, *others)}) == 3
