"""CSV, JSON and FOCUS of an invoice."""

import csv
import io
import json
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.bench.documents import long_invoice, measure_documents
from billing.documents.document import InvoiceDocument, Reference
from billing.documents.files import FORMS, FormName, document_file, document_tag, file_name
from billing.documents.tabular import COLUMNS
from tests.billing.documents.focus_rules import billed_by_invoice, broken_focus_rules
from tests.billing.documents.samples import document, line, taxed_document
from tests.billing.documents.strategies import documents


def table(made: InvoiceDocument, form: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(document_file(made, form).decode(), newline="")))


class TestCsv:
    def test_has_a_row_for_each_line_with_exact_numbers(self) -> None:
        first, second = table(
            document(line(quantity=Decimal("800.000000000000000000000000000001")), line(2, "5.50")),
            "csv",
        )
        assert tuple(first) == COLUMNS
        assert first["quantity"] == "800.000000000000000000000000000001"
        assert (first["amount"], second["amount"]) == ("10.00", "5.50")
        assert first["document"] == "INV-7"

    @pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_gives_a_spreadsheet_nothing_to_run(self, label: str) -> None:
        (row,) = table(document(line(label=label, application=label)), "csv")
        assert row["label"] == row["application"] == f"'{label}"

    def test_leaves_negative_numbers_as_they_are(self) -> None:
        assert table(document(line(1, "-3.00", kind="correction")), "csv")[0]["amount"] == "-3.00"

    def test_keeps_commas_quotes_and_line_breaks_in_a_cell(self) -> None:
        label = 'a, "b"\nc'
        assert table(document(line(label=label)), "csv")[0]["label"] == label

    @settings(deadline=None)
    @given(documents())
    def test_sums_to_the_total(self, made: InvoiceDocument) -> None:
        amounts = [Decimal(row["amount"]) for row in table(made, "csv")]
        assert sum(amounts) == made.total


class TestJson:
    def test_writes_decimals_as_text(self) -> None:
        told = json.loads(document_file(document(), "json"), parse_float=lambda text: 1 / 0)
        assert told["format"] == "hostmeter-invoice/1"
        assert told["gross"] == "11.90"
        assert told["lines"][0]["unit_price"] == "0.0125"
        assert told["taxes"] == [
            {"category": "S", "percent": "19", "taxable": "10.00", "tax": "1.90", "reason": ""}
        ]
        assert told["period_start"] == "2026-09-30T22:00:00Z"

    def test_has_no_more_than_what_the_invoice_says(self) -> None:
        told = json.loads(document_file(document(), "json"))
        assert not {"logo_svg", "colour"} & told.keys()


class TestFocus:
    @settings(deadline=None)
    @given(documents(), st.sampled_from(["1.3", "1.4"]))
    def test_keeps_the_rules_and_sums_to_what_is_payable(
        self, made: InvoiceDocument, version: str
    ) -> None:
        rows = table(made, "focus" if version == "1.3" else f"focus-{version}")
        assert broken_focus_rules(rows, version) == []
        sign = -1 if made.kind == "credit_note" else 1
        assert billed_by_invoice(rows) == {made.reference: sign * made.payable}

    def test_tells_usage_tax_and_credit_apart(self) -> None:
        made = document(credit_applied=Decimal("5.00"), payable=Decimal("6.90"))
        rows = table(made, "focus")
        assert [(row["ChargeCategory"], row["BilledCost"]) for row in rows] == [
            ("Usage", "10.00"), ("Tax", "1.90"), ("Credit", "-5.00"),
        ]  # fmt: skip

    def test_prices_a_quantity_where_the_invoice_does(self) -> None:
        (row, _) = table(document(line(1, "10.00", quantity=Decimal("800.2"))), "focus")
        assert (row["ListUnitPrice"], row["PricingQuantity"], row["ListCost"]) == (
            "0.0125", "800.2", "10.0025",
        )  # fmt: skip
        assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("800.2", "CPU-Hours")

    def test_of_a_credit_note_corrects_and_is_negative(self) -> None:
        made = document(kind="credit_note", reference="CN-1", refers_to=Reference("INV-7", None))
        rows = table(made, "focus")
        assert {row["ChargeClass"] for row in rows} == {"Correction"}
        assert [row["BilledCost"] for row in rows] == ["-10.00", "-1.90"]

    def test_of_prices_with_tax_splits_them(self) -> None:
        made = taxed_document([("S", Decimal(19), line(1, "11.90"))], tax_inclusive=True)
        rows = table(made, "focus")
        assert [row["BilledCost"] for row in rows] == ["10.00", "1.90"]


class TestBench:
    def test_times_every_form_of_as_many_lines(self) -> None:
        figures = measure_documents(12, lambda line: None)
        assert figures.lines == 12
        assert figures.pdf_kb > 1
        assert broken_focus_rules(table(long_invoice(12), "focus")) == []


class TestFiles:
    def test_have_the_forms_that_the_api_takes(self) -> None:
        assert get_args(FormName) == tuple(FORMS)

    @pytest.mark.parametrize("form", FORMS)
    def test_are_the_same_each_time(self, form: str) -> None:
        assert document_file(document(), form) == document_file(document(), form)

    def test_have_a_name_that_any_system_takes(self) -> None:
        assert file_name(document(reference="RE/26 é:7"), "pdf") == "RE-26---7.pdf"
        assert file_name(document(), "ubl") == "INV-7-ubl.xml"

    def test_have_a_tag_that_changes_with_what_they_show(self) -> None:
        tag = document_tag(document(), "pdf")
        assert document_tag(document(), "pdf") == tag
        assert document_tag(document(), "csv") != tag
        assert document_tag(document(colour="#000000"), "pdf") != tag
        assert document_tag(document(line(label="x")), "pdf") != tag
