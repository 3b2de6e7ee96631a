"""Reads what came in from a bank's statement: CAMT.053 (XML) or CSV. Bounded, and without entities
or anything from elsewhere."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from lxml import etree

from billing.core.bank_matching import Transfer

BYTES_MAX: Final = 1_000_000
ROWS_MAX: Final = 1_000
_TEXT_MAX: Final = 500

_COLUMNS: Final = {
    "day": ("date", "booking date", "booked on", "buchungstag", "buchungsdatum", "datum"),
    "amount": ("amount", "betrag", "umsatz"),
    "currency": ("currency", "währung", "waehrung"),
    "payer": (
        "payer", "name", "counterparty", "auftraggeber", "zahlungspflichtiger",
        "name zahlungsbeteiligter", "beguenstigter/zahlungspflichtiger",
        "begünstigter/zahlungspflichtiger",
    ),
    "words": ("reference", "description", "remittance information", "verwendungszweck"),
    "bank_id": ("id", "transaction id", "transaktions-id", "umsatz-id"),
}  # fmt: skip


class StatementNotReadable(ValueError):
    """It is no statement of a kind that is known, too large, or a row of it is not clear."""


def transfers_in(content: bytes, *, currency: str) -> list[Transfer]:
    """The money that came in, in the statement's order. `currency` is that of a CSV without one.
    Raises StatementNotReadable, which says where."""
    if len(content) > BYTES_MAX:
        raise StatementNotReadable(f"a statement has {BYTES_MAX:,} bytes at most; split it")
    if content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        found = _camt(content)
    else:
        found = _csv(content, currency)
    if len(found) > ROWS_MAX:
        raise StatementNotReadable(f"a statement has {ROWS_MAX:,} entries at most; split it")
    return _told_apart(found)


def _told_apart(transfers: Sequence[Transfer]) -> list[Transfer]:
    seen: Counter[Transfer] = Counter()
    told = []
    for each in transfers:
        seen[each] += 1
        told.append(replace(each, occurrence=seen[each]))
    return told


def _camt(content: bytes) -> list[Transfer]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content.lstrip(), parser)
    except etree.XMLSyntaxError as error:
        raise StatementNotReadable(f"it is no well-formed XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise StatementNotReadable("a statement declares no document type")
    if "camt.053" not in (etree.QName(root).namespace or ""):
        raise StatementNotReadable("it is XML, but no CAMT.053 statement")
    return [each for entry in root.iterfind(".//{*}Ntry") for each in _of_entry(entry)]


def _of_entry(entry: Any) -> Iterator[Transfer]:
    came_in = _text(entry, "{*}CdtDbtInd") == "CRDT" and _text(entry, "{*}RvslInd") != "true"
    status = _text(entry, "{*}Sts") or _text(entry, "{*}Sts/{*}Cd")
    if not came_in or status not in {"", "BOOK"}:
        return
    booked_on = _day(_text(entry, "{*}BookgDt/{*}Dt") or _text(entry, "{*}BookgDt/{*}DtTm")[:10])
    details = entry.findall("{*}NtryDtls/{*}TxDtls") or [entry]
    entry_id = _text(entry, "{*}AcctSvcrRef") or _text(entry, "{*}NtryRef")
    for number, detail in enumerate(details, start=1):
        own_amount = detail.find("{*}Amt")
        if own_amount is None:
            own_amount = detail.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
        amount = own_amount if own_amount is not None else entry.find("{*}Amt")
        if amount is None or (own_amount is None and len(details) > 1):
            raise StatementNotReadable(f"the entry of {booked_on} does not say its amounts")
        shared = entry_id if len(details) == 1 else f"{entry_id}/{number}" if entry_id else ""
        words = [e.text or "" for e in detail.iterfind("{*}RmtInf/{*}Ustrd")]
        words += [e.text or "" for e in detail.iterfind("{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref")]
        payer = _text(detail, "{*}RltdPties/{*}Dbtr/{*}Nm")
        yield Transfer(
            booked_on,
            _exact(amount.text or ""),
            amount.get("Ccy", ""),
            (payer or _text(detail, "{*}RltdPties/{*}Dbtr/{*}Pty/{*}Nm"))[:_TEXT_MAX],
            " ".join(words)[:_TEXT_MAX],
            _text(detail, "{*}Refs/{*}AcctSvcrRef") or shared,
        )


def _text(element: Any, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _csv(content: bytes, currency: str) -> list[Transfer]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # As many banks write it.
        text = content.decode("cp1252", errors="replace")
    first = text.split("\n", 1)[0]
    delimiter = max(";,\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        places = _places(next(rows, []))
        return [
            made
            for number, row in enumerate(rows, start=2)
            if any(cell.strip() for cell in row)
            for made in _of_row(number, row, places, currency)
        ]
    except csv.Error as error:
        raise StatementNotReadable(f"it is no CSV: {error}") from error


def _places(header: Sequence[str]) -> dict[str, int]:
    named = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
    places = {
        column: named[name]
        for column, names in _COLUMNS.items()
        for name in reversed(names)
        if name in named
    }
    lacking = [name for name in ("day", "amount", "words") if name not in places]
    if lacking:
        known = "; ".join(" or ".join(_COLUMNS[name][:3]) for name in lacking)
        raise StatementNotReadable(f"its first row has to name these columns: {known}")
    return places


def _of_row(
    number: int, row: Sequence[str], places: dict[str, int], currency: str
) -> Iterator[Transfer]:
    def cell(name: str) -> str:
        place = places.get(name, len(row))
        return row[place].strip()[:_TEXT_MAX] if place < len(row) else ""

    try:
        amount = _amount(cell("amount"))
        booked_on = _day(cell("day"))
    except StatementNotReadable as error:
        raise StatementNotReadable(f"row {number}: {error}") from error
    if amount > 0:
        yield Transfer(
            booked_on, amount, cell("currency").upper() or currency, cell("payer"), cell("words"),
            cell("bank_id"),
        )  # fmt: skip


def _day(text: str) -> date:
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 a day of the bank's
        except ValueError:
            continue
    raise StatementNotReadable(f"{text[:20]!r} is no day such as 2026-11-03 or 03.11.2026")


def _amount(text: str) -> Decimal:
    """1.234,56 and 1,234.56; what could be either, such as 1.234, is refused."""
    plain = text.replace("\N{NO-BREAK SPACE}", "").replace(" ", "").replace("\u2212", "-")
    marks = re.findall(r"[.,]", plain)
    last = max(plain.rfind("."), plain.rfind(","))
    decimals = len(plain) - last - 1 if marks else 0
    if len(marks) == 1 and decimals == 3:
        raise StatementNotReadable(f"{text[:20]!r} could mean thousands or thousandths")
    if len(set(marks)) == 1 and len(marks) > 1:
        return _exact(plain.replace(marks[0], ""))
    if not marks:
        return _exact(plain)
    whole = re.sub(r"[.,]", "", plain[:last])
    return _exact(f"{whole}.{plain[last + 1 :]}")


def _exact(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise StatementNotReadable(f"{text[:20]!r} is no amount") from error
    if not amount.is_finite() or abs(amount) >= 10**15:
        raise StatementNotReadable(f"{text[:20]!r} is no amount")
    return amount
