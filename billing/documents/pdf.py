"""An InvoiceDocument as a PDF/A-3b, by typst and templates/invoice.typ.

The template gets data.json (see `_data`) and logo.svg as files of its own, so that no text of a
customer is ever read as markup. The same document gives the same bytes: the only time in it is its
own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import typst

from billing.core.currencies import currency_of
from billing.core.gap_credit import NOT_MEASURED
from billing.core.money import sum_amounts
from billing.documents.document import InvoiceDocument, Line, Party, TaxGroup
from billing.documents.glyphs import families, fonts, shown
from billing.documents.texts import (
    NBSP,
    language_of,
    words,
    written_amount,
    written_date,
    written_label,
    written_number,
    written_quantity,
    written_reason,
    written_span,
)
from billing.logo import LogoNotUsable, clean_logo

# Tags, which screen readers use, make most of a long file and of the time that it takes.
_TAGGED_LINES_MAX: Final = 300
_TEMPLATE: Final = (Path(__file__).parent / "templates" / "invoice.typ").read_bytes()


def pdf(document: InvoiceDocument) -> bytes:
    """The document without an electronic invoice in it."""
    made = _compiled(document, "pdf")
    return made if isinstance(made, bytes) else b"".join(made)


def page_images(document: InvoiceDocument, ppi: float = 80) -> list[bytes]:
    """Its pages as PNG, for looking at."""
    made = _compiled(document, "png", ppi=ppi)
    return [made] if isinstance(made, bytes) else list(made)


def _compiled(document: InvoiceDocument, form: Any, **options: Any) -> Any:
    logo = _logo(document)
    files = {
        "main.typ": _TEMPLATE,
        "data.json": json.dumps(_Writer(document).data(has_logo=bool(logo))).encode(),
    }
    if logo:
        files["logo.svg"] = logo
    return typst.compile(
        files,
        format=form,
        font_paths=fonts(),
        pdf_standards=["a-3b"] if form == "pdf" else [],
        timestamp=int(document.issued_at.timestamp()),
        pdf_tags=len(document.lines) <= _TAGGED_LINES_MAX,
        **options,
    )


def _logo(document: InvoiceDocument) -> bytes:
    try:
        return clean_logo(document.logo_svg).encode() if document.logo_svg else b""
    except LogoNotUsable:
        # The invoice matters more than its decoration; the seller's name stands instead.
        return b""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes a document's values in its language."""

    document: InvoiceDocument

    @property
    def language(self) -> str:
        return language_of(self.document.language)

    @property
    def words(self) -> dict[str, str]:
        return words(self.language)

    @property
    def _in_favour(self) -> bool:
        """Whether the customer gets its amount rather than owing it."""
        return (self.document.kind == "credit_note") != (self.document.payable < 0)

    @property
    def _is_due(self) -> bool:
        return self.document.payable != 0 and not (self._in_favour or self.document.is_draft)

    @property
    def _has_rates(self) -> bool:
        """Whether the lines bear different taxes, so that each says its own."""
        return len(self.document.taxes) > 1

    def data(self, *, has_logo: bool) -> dict[str, Any]:
        document, t = self.document, self.words
        heading = f"{self.words[document.kind]} {document.reference}".rstrip()
        return {
            "title": shown(f"{document.seller.name}: {heading}"),
            "heading": shown(heading),
            "language": self.language,
            "words": t,
            "fonts": families(),
            "colour": document.colour,
            "draft": document.is_draft,
            "logo": has_logo,
            "seller": {
                "name": shown(document.seller.name),
                "lines": self._seller_lines(),
                "sender": shown(" · ".join(self._address(document.seller))),
            },
            "buyer": {"lines": [shown(line) for line in self._address(document.buyer)]},
            "facts": [[label, shown(value)] for label, value in self._facts() if value],
            "notes": [shown(note) for note in self._notes()],
            "columns": [
                t["charge"],
                t["quantity"],
                f"{t['unit_price']}, {document.currency}",
                *([t["tax_name"]] if self._has_rates else []),
                f"{t['amount']}, {document.currency}",
            ],
            "groups": [self._group(lines) for lines in _by_application(document.lines)],
            "totals": self._totals(),
            "closing": [shown(line) for line in self._closing()],
            "footer": [shown(part) for part in self._footer()],
        }

    def _seller_lines(self) -> list[str]:
        seller = self.document.seller
        lines = [*self._address(seller), seller.phone, seller.email]
        return [shown(line) for line in lines if line]

    def _address(self, party: Party) -> list[str]:
        """Its name and address, line by line; the country where it is another one."""
        place = " ".join(part for part in (party.postcode, party.city, party.region) if part)
        abroad = self.document.seller.country != self.document.buyer.country
        country = party.country if abroad else ""
        return [line for line in (party.name, party.street, place, country) if line]

    def _facts(self) -> list[tuple[str, str]]:
        document, t = self.document, self.words
        first, last = self._day(document.first_day), self._day(document.last_day)
        return [
            (t["number"], document.reference),
            (t["issued"], self._day(document.issued_on)),
            (t["due"], self._day(document.due_on) if document.due_on and self._is_due else ""),
            (t["period"], f"{first} \u2013 {last}"),
            (t["plan"], document.plan),
            (t["customer"], document.buyer.identifier),
            (t["purchase_order"], document.purchase_order),
            (t["buyer_reference"], document.buyer_reference),
            (t["buyer_vat"], document.buyer.vat_id),
            (t["refers_to"], self._refers_to()),
        ]

    def _refers_to(self) -> str:
        earlier = self.document.refers_to
        if earlier is None:
            return ""
        if earlier.issued_on is None:
            return earlier.reference
        written = self._day(earlier.issued_on)
        return self.words["refers_to_of"].format(reference=earlier.reference, date=written)

    def _notes(self) -> list[str]:
        document, t = self.document, self.words
        notes = []
        if document.reason:
            notes.append(f"{t['reason']}: {written_reason(document.reason, self.language)}")
        if document.windows:
            zone = ZoneInfo(document.time_zone)
            told = [
                written_span(start.astimezone(zone), end.astimezone(zone), self.language)
                for start, end in document.windows
            ]
            if document.more_windows:
                told.append(t["more_windows"].format(count=document.more_windows))
            notes.append(f"{t['windows']}: {'; '.join(told)}")
        return notes

    def _group(self, lines: Sequence[Line]) -> dict[str, Any]:
        first = lines[0]
        subtotal = None
        if len(lines) > 1:
            subtotal = self._number(sum_amounts([line.amount for line in lines]))
        return {
            "name": shown(first.application) or self.words["other_charges"],
            "environment": shown(first.environment),
            "subtotal": subtotal,
            "lines": [self._line(line) for line in lines],
        }

    def _line(self, line: Line) -> list[str]:
        told = ", ".join(self._attribute(*each) for each in line.attributes)
        label = written_label(line.label, line.of_kind or line.kind, self.language)
        label = f"{label} ({told})" if told else label
        quantity = ""
        if line.unit or line.quantity:
            quantity = written_quantity(line.quantity, line.unit, self.language)
        price = ""
        if line.unit_price is not None:
            price = self._number(line.unit_price)
        rate = [self._rate(line.tax_category, line.tax_percent)] if self._has_rates else []
        return [shown(label), quantity, price, *rate, self._number(line.amount)]

    def _attribute(self, name: str, value: str) -> str:
        """The value alone explains itself, but not that there is none."""
        if not value:
            return self.words["not_stated"].format(name=name.replace("_", " "))
        unmeasured = (name, value) in NOT_MEASURED
        return self.words["not_measured"] if unmeasured else value

    def _rate(self, category: str, percent: Decimal | None) -> str:
        """19%; of what is not taxed as usual, with the letter that its reason stands by: E 0%."""
        if percent is None:
            return category
        written = self.words["percent"].format(percent=written_number(percent, self.language, 0))
        return written if category == "S" else f"{category}{NBSP}{written}"

    def _totals(self) -> list[dict[str, Any]]:
        document, t = self.document, self.words
        rows = []
        if not document.tax_inclusive and document.taxes:
            rows.append((t["net"], document.net, False))
        if not document.tax_inclusive:
            rows += [(self._tax(tax, "tax"), tax.tax, False) for tax in document.taxes]
        rows.append((t["gross"], document.gross, False))
        if document.tax_inclusive:
            rows += [(self._tax(tax, "included"), tax.tax, False) for tax in document.taxes]
        if document.credit_applied:
            rows.append((t["credit_applied"], -document.credit_applied, False))
        label = t["refund"] if self._in_favour else t["payable"]
        rows.append((label, abs(document.payable), True))
        return [
            {"label": label, "amount": self._amount(value), "strong": strong}
            for label, value, strong in rows
        ]

    def _tax(self, tax: TaxGroup, template: str) -> str:
        return self.words[template].format(
            name=self.words["tax_name"],
            percent=self._rate(tax.category if self._has_rates else "S", tax.percent),
            taxable=self._amount(tax.taxable),
        )

    def _closing(self) -> list[str]:
        document, t = self.document, self.words
        lines = []
        for tax in document.taxes:
            if tax.category != "S":
                reason = tax.reason or t.get(tax.category, "")
                lines.append(f"{tax.category}: {reason}" if self._has_rates else reason)
        if document.due_on and self._is_due:
            due = self._day(document.due_on)
            lines.append(t["terms"].format(date=due, reference=document.reference))
        if document.iban and self._is_due:
            bank = f"{t['iban']} {_in_fours(document.iban)}"
            lines.append(f"{bank}, {t['bic']} {document.bic}" if document.bic else bank)
        return list(dict.fromkeys(line for line in lines if line))

    def _footer(self) -> list[str]:
        document, t = self.document, self.words
        seller = document.seller
        parts = [seller.name, seller.registration]
        if seller.vat_id:
            parts.append(f"{t['vat_id']} {seller.vat_id}")
        if seller.tax_number:
            parts.append(f"{t['tax_number']} {seller.tax_number}")
        parts.append(f"{t['time_zone']} {document.time_zone}")
        return [part for part in parts if part]

    def _day(self, day: date) -> str:
        return written_date(day, self.language)

    def _number(self, value: Decimal) -> str:
        decimals = currency_of(self.document.currency).decimals
        return written_number(value, self.language, decimals)

    def _amount(self, value: Decimal) -> str:
        return written_amount(value, self.document.currency, self.language)


def _by_application(lines: Sequence[Line]) -> list[list[Line]]:
    """Applications in the order of their first lines; what belongs to none comes last."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        owner = line.application_id, line.application, line.environment
        groups.setdefault(owner, []).append(line)
    return sorted(groups.values(), key=lambda group: not group[0].application)


def _in_fours(iban: str) -> str:
    return " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
