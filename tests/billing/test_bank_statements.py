"""A bank's statement is read as banks write it, and nothing else is."""

from datetime import date
from decimal import Decimal

import pytest

from billing.bank_statements import ROWS_MAX, StatementNotReadable, transfers_in

CAMT = """<?xml version="1.0"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt>
<Ntry><Amt Ccy="EUR">119.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
 <BookgDt><Dt>2026-11-03</Dt></BookgDt><AcctSvcrRef>B-1</AcctSvcrRef>
 <NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Shop Ltd</Nm></Dbtr></RltdPties>
 <RmtInf><Ustrd>Rechnung</Ustrd><Ustrd>INV-1042</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts>
 <BookgDt><Dt>2026-11-03</Dt></BookgDt></Ntry>
<Ntry><Amt Ccy="EUR">8.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts>
 <BookgDt><Dt>2026-11-03</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


class TestCamt:
    def test_gives_what_is_booked_and_came_in(self) -> None:
        (one,) = transfers_in(CAMT.encode(), currency="USD")
        assert (one.booked_on, one.amount, one.currency) == (
            date(2026, 11, 3), Decimal("119.00"), "EUR",
        )  # fmt: skip
        assert (one.payer, one.words, one.reference) == (
            "Shop Ltd", "Rechnung INV-1042", "bank B-1",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "broken",
        [
            '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
            '<Document xmlns="urn:camt.053">&x;</Document>',
            "<Document xmlns='urn:pain.001'/>",
            "<Document",
        ],
        ids=["entities", "another kind", "not whole"],
    )
    def test_of_another_kind_is_refused(self, broken: str) -> None:
        with pytest.raises(StatementNotReadable):
            transfers_in(broken.encode(), currency="EUR")


class TestCsv:
    def test_is_read_as_german_banks_write_it(self) -> None:
        text = (
            "Buchungstag;Name Zahlungsbeteiligter;Verwendungszweck;Betrag;Währung\n"
            "03.11.2026;Bäckerei;RE 7;1.234,56;EUR\n"
            "04.11.2026;Miete;;-900,00;EUR\n\n"
        )
        for encoding in ("utf-8", "cp1252"):
            (one,) = transfers_in(text.encode(encoding), currency="USD")
            assert (one.payer, one.amount, one.currency) == ("Bäckerei", Decimal("1234.56"), "EUR")

    def test_is_read_as_english_banks_write_it(self) -> None:
        text = 'Date,Reference,Amount\n2026-11-03,INV-1,"1,234.50"\n2026-11-03,INV-1,"1,234.50"\n'
        one, other = transfers_in(text.encode(), currency="GBP")
        assert one.amount == Decimal("1234.50")
        assert one.currency == "GBP"
        assert one.reference != other.reference

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("a,b\n1,2\n", "has to name these columns"),
            ("Date,Reference,Amount\n2026-11-03,x,1.234\n", "row 2: .* thousands"),
            ("Date,Reference,Amount\n11/03/2026,x,1\n", "row 2: .* no day"),
            ("Date,Reference,Amount\n2026-11-03,x,NaN\n", "row 2: .* no amount"),
            ("Date,Reference,Amount\n" + "2026-11-03,x,1\n" * (ROWS_MAX + 1), "at most"),
            ("", "has to name"),
        ],
    )
    def test_that_is_not_clear_is_refused_with_its_row(self, text: str, wanted: str) -> None:
        with pytest.raises(StatementNotReadable, match=wanted):
            transfers_in(text.encode(), currency="EUR")
