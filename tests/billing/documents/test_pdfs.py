"""What a reader sees in the PDF, and what a program finds in it."""

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from typing import Any

import pypdf
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checked
from hypothesis import strategies as st
from lxml import etree
from pytest_django import Settings

from billing.documents import glyphs
from billing.documents.cii import cii
from billing.documents.document import InvoiceDocument, Reference
from billing.documents.files import document_tag
from billing.documents.glyphs import shown
from billing.documents.hybrid import hybrid_pdf
from billing.documents.pdf import page_images, pdf
from tests.billing.documents.pdf_a_rules import broken_pdf_a_rules
from tests.billing.documents.samples import BUYER, LOGO, SELLER, document, line, taxed_document
from tests.billing.documents.strategies import documents
from tests.needs import lacking

ARABIC, HEBREW, GREEK, CYRILLIC = "شركة النخيل", "רחוב הרצל", "Ελλάδα", "Київ"


def root_of(made: bytes) -> Any:
    """What every other object of the file hangs from."""
    return read(made).trailer["/Root"].get_object()


def read(made: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(made))


def text_of(made: bytes) -> str:
    pages = "\n".join(page.extract_text() for page in read(made).pages)
    return pages.replace("\u00a0", " ")


def text(**changes: Any) -> str:
    return text_of(pdf(document(**changes)))


def xmp(made: bytes) -> str:
    return str(root_of(made)["/Metadata"].get_data().decode())


def many_lines(count: int) -> InvoiceDocument:
    return document(
        *(
            line(number, application=f"app-{number // 6}", application_id=str(number // 6))
            for number in range(1, count + 1)
        )
    )


class TestPage:
    def test_names_parties_number_dates_and_amounts(self) -> None:
        shown_text = text()
        for part in (
            "First Host GmbH", "Pine Mail Ltd", "Invoice INV-7", "1 November 2026",
            "1 October 2026 \u2013 31 October 2026",
            "15 November 2026", "postgres", "800 CPU-hours",
            "0.0125", "VAT 19% on EUR 10.00", "EUR 1.90", "EUR 11.90", "DE123456788",
            "DE02 1203 0000 0000 2020 51", "Page 1 of 1",
        ):  # fmt: skip
            assert part in shown_text

    def test_is_written_in_german(self) -> None:
        shown_text = text(language="de-AT", currency="EUR")
        for part in ("Rechnung INV-7", "1. November 2026", "USt. 19 % auf 10,00 EUR",
                     "Zu zahlen", "11,90 EUR", "800 CPU-Stunden", "Seite 1 von 1"):  # fmt: skip
            assert part in shown_text

    def test_of_a_language_without_words_is_english(self) -> None:
        assert "Invoice INV-7" in text(language="fr")

    def test_of_a_credit_note_names_the_invoice_and_the_reason_and_asks_for_nothing(self) -> None:
        shown_text = text(
            kind="credit_note", reference="CN-3", reason="Late usage of 3 October",
            refers_to=Reference("INV-6", date(2026, 10, 1)),
        )  # fmt: skip
        for part in ("Credit note CN-3", "INV-6 of 1 October 2026", "Reason: Late usage",
                     "Amount in your favour"):  # fmt: skip
            assert part in shown_text
        assert "Please pay" not in shown_text
        assert "IBAN" not in shown_text

    def test_of_a_note_in_german_has_german_units_reasons_and_times(self) -> None:
        note = document(
            line(unit="month", quantity=Decimal(1), label="Base: minimum", kind="minimum"),
            kind="credit_note", language="de", more_windows=2,
            reason="Usage that became known after the invoice was issued. "
            "Correction of usage: Correction of usage by Ann",
            windows=(
                (datetime(2026, 10, 6, tzinfo=UTC), datetime(2026, 10, 6, 1, tzinfo=UTC)),
                (datetime(2026, 10, 6, 21, tzinfo=UTC), datetime(2026, 10, 6, 23, tzinfo=UTC)),
            ),
        )  # fmt: skip
        shown_text = " ".join(text_of(pdf(note)).split())
        for part in (
            "1 Monat", "Base: Mindestbetrag",
            "Grund: Nutzung, die erst nach Ausstellung der Rechnung bekannt wurde. "
            "Korrektur der Nutzung: Correction of usage by Ann",
            "Nutzung von: 6. Oktober 2026, 02:00 \u2013 03:00; "
            "6. Oktober 2026, 23:00 \u2013 7. Oktober 2026, 01:00; und 2 weitere Zeitspannen",
        ):  # fmt: skip
            assert part in shown_text
        assert "month" not in shown_text

    @pytest.mark.parametrize(
        ("kind", "of_kind"),
        [("late_usage", "minimum"), ("correction", "minimum"), ("correction", "late_usage")],
    )
    def test_in_german_has_german_labels_of_what_came_late(self, kind: str, of_kind: str) -> None:
        label = "Minimum of the period"
        late = document(line(label=label, kind=kind, of_kind=of_kind), language="de")
        assert "Mindestbetrag des Zeitraums" in " ".join(text_of(pdf(late)).split())

    def test_of_a_draft_says_so_and_asks_for_nothing(self) -> None:
        shown_text = text(is_draft=True, reference="")
        assert "DRAFT" in shown_text
        assert "Not an invoice" in shown_text
        assert "Please pay" not in shown_text

    def test_sums_each_applications_lines(self) -> None:
        shown_text = text_of(pdf(document(line(), line(2, "5.55"))))
        assert "Subtotal" in shown_text
        assert "15.55" in shown_text

    def test_gathers_an_applications_lines_wherever_they_stand(self) -> None:
        other = {"application": "checkout", "application_id": "b"}
        nobodys = {"application": "", "application_id": "", "environment": ""}
        made = document(
            line(1, "1.00", label="Minimum", **nobodys), line(2, "2.00"), line(3, "4.00", **other),
            line(4, "8.00"), line(5, "16.00", **other),
        )  # fmt: skip
        shown_text = text_of(pdf(made))
        assert shown_text.count("postgres") == shown_text.count("checkout") == 1
        assert "10.00" in shown_text
        assert "20.00" in shown_text
        assert shown_text.index("checkout") < shown_text.index("Other charges")

    def test_shows_credit_and_what_is_left(self) -> None:
        shown_text = text(credit_applied=Decimal("5.00"), payable=Decimal("6.90"))
        assert "Paid from credit" in shown_text
        assert "EUR 6.90" in shown_text

    def test_says_why_no_tax_is_charged(self) -> None:
        made = taxed_document([("AE", Decimal(0), line())], tax_inclusive=False)
        assert "Reverse charge: the recipient owes the tax." in text_of(pdf(made))

    def test_of_several_taxes_says_which_each_line_bears(self) -> None:
        made = taxed_document(
            [
                ("S", Decimal(19), line(1)),
                ("E", Decimal(0), line(2, "3.00", label="Course")),
                ("Z", Decimal(0), line(3, "4.00", label="Other")),
            ],
            tax_inclusive=False,
        )
        shown_text = " ".join(text_of(pdf(made)).split())
        for part in (
            "CPU time 800 CPU-hours 0.0125 19% 10.00", "Course 800 CPU-hours 0.0125 E 0% 3.00",
            "VAT 19% on EUR 10.00", "VAT E 0% on EUR 3.00", "VAT Z 0% on EUR 4.00",
            "E: Exempt from VAT.", "Z: Zero-rated.",
        ):  # fmt: skip
            assert part in shown_text

    def test_of_one_tax_needs_no_column_for_it(self) -> None:
        assert "0.0125 10.00" in " ".join(text().split())

    def test_breaks_what_has_no_space_to_break_at(self) -> None:
        order = "PO-" + "4711-" * 15
        shown_text = text(purchase_order=order).replace("\u200b", "")
        assert order not in shown_text
        assert order in shown_text.replace("\n", "")

    def test_says_how_much_tax_is_included(self) -> None:
        made = taxed_document([("S", Decimal(19), line(1, "11.90"))], tax_inclusive=True)
        shown_text = text_of(pdf(made))
        assert "including VAT 19% on EUR 10.00" in shown_text
        assert "Total without tax" not in shown_text

    def test_reads_names_as_text_and_never_as_markup(self) -> None:
        name = '#panic("x") *bold* $x^2$ <a> @b'
        assert name in text_of(pdf(document(line(label=name))))

    def test_without_lines_says_so(self) -> None:
        zero = Decimal("0.00")
        assert "No charges in this period." in text(
            lines=(), taxes=(), total=zero, net=zero, tax=zero, gross=zero, payable=zero
        )

    def test_repeats_the_tables_head_and_the_application_on_each_page(self) -> None:
        pages = read(pdf(many_lines(150))).pages
        assert len(pages) > 2
        for number, page in enumerate(pages, start=1):
            written = page.extract_text()
            assert f"Page {number} of {len(pages)}" in written.replace("\u00a0", " ")
            if "CPU time" in written:
                assert "app-" in written
                assert "Amount, EUR" in written.replace("\u00a0", " ")

    def test_is_drawn_as_images_for_looking_at(self) -> None:
        (image,) = page_images(document())
        assert image.startswith(b"\x89PNG")


@pytest.fixture
def dejavu(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A font in the folder that DOCUMENT_FONTS names."""
    font = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    if not font.exists():
        lacking("there is no DejaVu Sans: install fonts-dejavu-core")
    settings.DOCUMENT_FONTS = tmp_path
    copyfile(font, tmp_path / font.name)
    _forget_fonts()
    yield
    _forget_fonts()


def _forget_fonts() -> None:
    """As another process does, which reads the folder anew."""
    for known in (glyphs.fonts, glyphs.families, glyphs.fonts_digest, glyphs._is_drawn):
        known.cache_clear()


class TestScripts:
    @pytest.mark.parametrize("name", [ARABIC, HEBREW, GREEK, CYRILLIC, "Žluťoučký Æsir", "हिन्दी"])
    def test_that_the_fonts_have_stay_whole(self, name: str) -> None:
        assert shown(name) == name
        assert pdf(document(buyer=replace(BUYER, name=name))).startswith(b"%PDF")

    def test_keep_the_letters_order_from_right_to_left(self) -> None:
        """The page holds the letters as they are read; glyphs are placed from the right."""
        made = pdf(document(buyer=replace(BUYER, name=HEBREW)))
        assert set(HEBREW.replace(" ", "")) <= set(text_of(made))

    def test_that_no_font_has_are_marked(self) -> None:
        assert shown("東京 Ltd") == "\ufffd\ufffd Ltd"
        assert "Ltd" in text(buyer=replace(BUYER, name="東京 Ltd"))

    def test_of_the_operators_fonts_are_shown_and_kept_in_the_file(self, dejavu: None) -> None:
        name = "\u2d30\u2d4e\u2d30\u2d63\u2d49\u2d56 Mail"
        assert shown(name) == name
        made = hybrid_pdf(document(buyer=replace(BUYER, name=name)))
        assert name.split()[0] in text_of(made)
        assert broken_pdf_a_rules(made) == []
        assert b"DejaVuSans" in made

    def test_of_other_fonts_are_another_file(self, settings: Settings, tmp_path: Path) -> None:
        def tags(*fonts: tuple[str, bytes]) -> list[str]:
            for name, content in fonts:
                (tmp_path / "more").mkdir(exist_ok=True)
                (tmp_path / "more" / name).write_bytes(content)
            _forget_fonts()
            return [document_tag(document(), form) for form in ("pdf", "cii")]

        settings.DOCUMENT_FONTS = tmp_path
        none, noted = tags(), tags(("notes.txt", b"1"))
        one, other = tags(("a.ttf", b"1")), tags(("a.ttf", b"2"))
        _forget_fonts()
        assert none == noted
        assert len({tag for tag, _ in (none, one, other)}) == 3
        assert none[1] == one[1] == other[1]

    def test_without_them_are_marked(self) -> None:
        assert shown("\u2d30\u2d4e") == "\ufffd\ufffd"

    def test_lose_control_characters(self) -> None:
        assert shown("a\x00b\x1bc\u202ed\u2028e") == "abcd e"

    def test_of_which_a_file_cannot_hold_some_stop_no_invoice(self) -> None:
        made = hybrid_pdf(document(seller=replace(SELLER, name="First\x1bHost\x00 GmbH")))
        assert "FirstHost GmbH" in xmp(made)


class TestFile:
    def test_is_the_same_each_time(self) -> None:
        first = hybrid_pdf(document())
        # The library stamps whole seconds.
        time.sleep(1.1)
        assert hybrid_pdf(document()) == first

    def test_is_one_pdf_and_not_two(self) -> None:
        made = hybrid_pdf(document())
        assert made.count(b"%PDF") == made.count(b"%%EOF") == 1

    def test_claims_pdf_a_3_and_the_profile(self) -> None:
        told = "".join(xmp(hybrid_pdf(document())).split())
        assert "<pdfaid:part>3</pdfaid:part>" in told
        assert "<pdfaid:conformance>B</pdfaid:conformance>" in told
        assert "<fx:ConformanceLevel>EN16931</fx:ConformanceLevel>" in told
        assert "<fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>" in told
        assert "2026-11-01T09:30:00+00:00" in told

    @pytest.mark.parametrize(
        "made",
        [
            document(),
            document(is_draft=True, reference=""),
            document(kind="credit_note", refers_to=Reference("INV-6", None), language="de"),
            document(
                buyer=replace(BUYER, name=ARABIC), seller=replace(SELLER, name="A (B) & \\<C>")
            ),
            document(logo_svg=LOGO.replace("rx=", 'opacity="0.4" rx=')),
            many_lines(400),
        ],
        ids=["invoice", "draft", "credit note", "scripts", "see-through logo", "many lines"],
    )
    def test_keeps_what_pdf_a_asks_for(self, made: InvoiceDocument) -> None:
        assert broken_pdf_a_rules(hybrid_pdf(made)) == []

    @checked(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
    @given(documents(), st.text(max_size=30))
    def test_of_any_charges_and_names_keeps_it(self, made: InvoiceDocument, name: str) -> None:
        named = replace(made, seller=replace(SELLER, name=f"A{name}"), logo_svg="")
        assert broken_pdf_a_rules(hybrid_pdf(named)) == []

    def test_is_in_the_language_of_the_buyer(self) -> None:
        assert root_of(hybrid_pdf(document(language="de")))["/Lang"] == "de"

    def test_holds_the_electronic_invoice(self) -> None:
        made = hybrid_pdf(document())
        assert read(made).attachments["factur-x.xml"] == [cii(document())]
        (attached,) = root_of(made)["/AF"]
        assert attached.get_object()["/AFRelationship"] == "/Alternative"

    def test_of_a_draft_holds_none(self) -> None:
        assert not read(hybrid_pdf(document(is_draft=True, reference=""))).attachments

    def test_without_a_countrys_name_is_made_all_the_same(self) -> None:
        made = hybrid_pdf(document(seller=replace(SELLER, country="")))
        assert not read(made).attachments
        assert "<pdfaid:part>3" in xmp(made)

    def test_is_tagged_for_screen_readers(self) -> None:
        assert root_of(hybrid_pdf(document()))["/MarkInfo"]["/Marked"]

    def test_with_a_logo_that_is_none_shows_the_name(self) -> None:
        broken = pdf(document(logo_svg="<svg>"))
        assert broken == pdf(document(logo_svg=""))
        assert broken != pdf(document(logo_svg=LOGO))


def test_xml_in_the_file_is_well_formed() -> None:
    (xml,) = read(hybrid_pdf(document())).attachments["factur-x.xml"]
    assert etree.fromstring(xml).tag.endswith("CrossIndustryInvoice")
