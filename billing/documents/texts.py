"""The words of documents, their dates and numbers, in English and German. Pure.

Any other language is written in English. German words are those of German tax law where it has
one: a credit note that corrects an invoice is a Rechnungskorrektur, for a Gutschrift is something
else there.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from billing.core.currencies import currency_of
from billing.core.exact import decimals_of, rounded
from billing.core.explanation import named_unit

NBSP: Final = "\u00a0"
MINUS: Final = "\u2212"
QUANTITY_DECIMALS: Final = 6

_ENGLISH: Final = {
    "invoice": "Invoice", "credit_note": "Credit note", "debit_note": "Debit note",
    "draft": "DRAFT", "draft_note": "Not an invoice. Amounts may still change.",
    "number": "Number", "issued": "Date", "due": "Due", "period": "Period", "plan": "Plan",
    "customer": "Customer number", "purchase_order": "Your order",
    "buyer_reference": "Your reference", "buyer_vat": "Your VAT id", "refers_to": "Corrects",
    "refers_to_of": "{reference} of {date}", "reason": "Reason",
    "windows": "Usage of", "not_stated": "{name} not stated", "not_measured": "not measured",
    "more_windows": "and {count} more stretches of time",
    "time_zone": "Times in",
    "percent": "{percent}%", "charge": "Charge", "quantity": "Quantity",
    "unit_price": "Unit price", "amount": "Amount",
    "other_charges": "Other charges", "subtotal": "Subtotal", "total": "Total",
    "net": "Total without tax", "tax": "{name} {percent} on {taxable}",
    "tax_name": "VAT", "included": "including {name} {percent} on {taxable}",
    "gross": "Total", "credit_applied": "Paid from credit", "payable": "Amount due",
    "refund": "Amount in your favour", "vat_id": "VAT id", "tax_number": "Tax number",
    "terms": "Please pay by {date}, naming {reference}.", "iban": "IBAN", "bic": "BIC",
    "page": "Page {page} of {pages}", "no_lines": "No charges in this period.",
    "AE": "Reverse charge: the recipient owes the tax.",
    "K": "Intra-Community supply, exempt from VAT.", "G": "Export, exempt from VAT.",
    "O": "Not subject to VAT.", "E": "Exempt from VAT.", "Z": "Zero-rated.",
}  # fmt: skip
_GERMAN: Final = {
    "invoice": "Rechnung", "credit_note": "Rechnungskorrektur", "debit_note": "Nachberechnung",
    "draft": "ENTWURF", "draft_note": "Keine Rechnung. Beträge können sich noch ändern.",
    "number": "Nummer", "issued": "Datum", "due": "Fällig", "period": "Zeitraum", "plan": "Tarif",
    "customer": "Kundennummer", "purchase_order": "Ihre Bestellung",
    "buyer_reference": "Ihr Zeichen", "buyer_vat": "Ihre USt-IdNr.", "refers_to": "Berichtigt",
    "refers_to_of": "{reference} vom {date}", "reason": "Grund",
    "windows": "Nutzung von", "not_stated": "{name} nicht angegeben",
    "not_measured": "nicht gemessen", "more_windows": "und {count} weitere Zeitspannen",
    "time_zone": "Zeiten in",
    "percent": "{percent}\u00a0%", "charge": "Leistung", "quantity": "Menge",
    "unit_price": "Einzelpreis", "amount": "Betrag",
    "other_charges": "Weitere Leistungen", "subtotal": "Zwischensumme", "total": "Summe",
    "net": "Summe ohne Steuer", "tax": "{name} {percent} auf {taxable}",
    "tax_name": "USt.", "included": "darin {name} {percent} auf {taxable}",
    "gross": "Gesamtbetrag", "credit_applied": "Aus Guthaben bezahlt",
    "payable": "Zu zahlen", "refund": "Zu Ihren Gunsten", "vat_id": "USt-IdNr.",
    "tax_number": "Steuernummer",
    "terms": "Bitte zahlen Sie bis zum {date} unter Angabe von {reference}.",
    "iban": "IBAN", "bic": "BIC", "page": "Seite {page} von {pages}",
    "no_lines": "Keine Leistungen in diesem Zeitraum.",
    "AE": "Steuerschuldnerschaft des Leistungsempfängers.",
    "K": "Steuerfreie innergemeinschaftliche Lieferung.", "G": "Steuerfreie Ausfuhrlieferung.",
    "O": "Nicht steuerbar.", "E": "Steuerfrei.", "Z": "Nullsatz.",
}  # fmt: skip
_WORDS: Final = {"en": _ENGLISH, "de": _GERMAN}
_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_SEPARATORS: Final = {"en": (",", "."), "de": (".", ",")}
# Singular and plural.
_UNITS: Final = {
    "de": {
        "CPU-second": ("CPU-Sekunde", "CPU-Sekunden"), "CPU-hour": ("CPU-Stunde", "CPU-Stunden"),
        "GB-hour": ("GB-Stunde", "GB-Stunden"), "GiB-hour": ("GiB-Stunde", "GiB-Stunden"),
        "count-hour": ("Stück-Stunde", "Stück-Stunden"),
        "process-hour": ("Prozess-Stunde", "Prozess-Stunden"),
        "thread-hour": ("Thread-Stunde", "Thread-Stunden"),
        "file-hour": ("Datei-Stunde", "Datei-Stunden"),
        "resource-hour": ("Ressourcen-Stunde", "Ressourcen-Stunden"),
        "user-hour": ("Nutzer-Stunde", "Nutzer-Stunden"), "user": ("Nutzer", "Nutzer"),
        "process": ("Prozess", "Prozesse"), "thread": ("Thread", "Threads"),
        "file": ("Datei", "Dateien"), "thousand": ("Tausend", "Tausend"),
        "million": ("Million", "Millionen"), "one": ("", ""),
        "per second": ("pro Sekunde", "pro Sekunde"), "per minute": ("pro Minute", "pro Minute"),
        "period": ("Zeitraum", "Zeiträume"), "week": ("Woche", "Wochen"),
        "month": ("Monat", "Monate"), "quarter": ("Quartal", "Quartale"),
        "half-year": ("Halbjahr", "Halbjahre"), "year": ("Jahr", "Jahre"),
    }
}  # fmt: skip
# What the product itself gives as a note's reason; a person's own words follow or stand alone.
_REASONS: Final = {
    "de": {
        "Usage that became known after the invoice was issued":
            "Nutzung, die erst nach Ausstellung der Rechnung bekannt wurde",
        "Correction of usage": "Korrektur der Nutzung",
        "An earlier period, which this one goes on from, was restated or taken back":
            "Ein früherer Zeitraum, den dieser fortsetzt, wurde berichtigt oder zurückgenommen",
    }
}  # fmt: skip


# What the product adds to a label, or labels itself, by the kind of the line.
_LABELS: Final = {
    "de": {
        "minimum": {
            ": minimum": ": Mindestbetrag", "Minimum of the period": "Mindestbetrag des Zeitraums",
        },
        "true_up": {"Commitment, shortfall": "Zugesagter Umsatz, Fehlbetrag"},
        "recurring": {": credit for gaps": ": Gutschrift für nicht gemessene Zeit"},
    }
}  # fmt: skip


def language_of(code: str) -> str:
    """The language that a document in `code` (de, de-AT, fr) is written in."""
    short = code.replace("_", "-").partition("-")[0].lower()
    return short if short in _WORDS else "en"


def words(language: str) -> dict[str, str]:
    return _WORDS[language]


def written_date(day: date, language: str) -> str:
    """1 October 2026; 1. Oktober 2026."""
    month = _MONTHS[language].split()[day.month - 1]
    point = "." if language == "de" else ""
    return f"{day.day}{point}{NBSP}{month}{NBSP}{day.year}"


def written_number(value: Decimal, language: str, decimals: int) -> str:
    """With at least `decimals` decimals, and all digits of `value`: nothing is rounded here."""
    thousands, point = _SEPARATORS[language]
    text = f"{abs(value):,.{max(decimals, decimals_of(value))}f}"
    text = text.replace(",", "\0").replace(".", point).replace("\0", thousands)
    return f"{MINUS}{text}" if value < 0 else text


def written_amount(value: Decimal, currency: str, language: str) -> str:
    """EUR 1,234.50; 1.234,50 EUR."""
    number = written_number(value, language, currency_of(currency).decimals)
    return f"{number}{NBSP}{currency}" if language == "de" else f"{currency}{NBSP}{number}"


def written_quantity(value: Decimal, unit: str, language: str) -> str:
    """To QUANTITY_DECIMALS decimals, half up, with its unit; a document is for reading, and the
    exact quantity is in the CSV and JSON."""
    short = value
    if decimals_of(value) > QUANTITY_DECIMALS:
        short = rounded(value, Decimal(1).scaleb(-QUANTITY_DECIMALS))
    name = written_unit(unit, short, language)
    short = short.normalize() if short else Decimal(0)
    return f"{written_number(short, language, 0)}{NBSP}{name}".rstrip(NBSP)


def written_unit(unit: str, value: Decimal, language: str) -> str:
    """The unit after `value`; nothing for what is counted singly."""
    if language == "en":
        return "" if unit == "one" else named_unit(unit, value)
    one, several = _UNITS.get(language, {}).get(unit, (unit, unit))
    return one if value == 1 else several


def written_reason(reason: str, language: str) -> str:
    """A note's reason, with the product's own sentences at its start in the language."""
    for known, told in _REASONS.get(language, {}).items():
        if reason == known:
            return told
        for separator in (". ", ": "):
            if reason.startswith(known + separator):
                rest = reason.removeprefix(known + separator)
                # After a person's own words nothing is the product's.
                rest = written_reason(rest, language) if separator == ". " else rest
                return f"{told}{separator}{rest}"
    return reason


def written_span(start: datetime, end: datetime, language: str) -> str:
    """Local times, the day again where it ends on another one: 6 October 2026, 02:00 - 03:00."""
    until = f"{end:%H:%M}"
    if end.date() != start.date():
        until = f"{written_date(end.date(), language)}, {until}"
    return f"{written_date(start.date(), language)}, {start:%H:%M} \u2013 {until}"


def written_label(label: str, kind: str, language: str) -> str:
    """A line's label, with what the product adds to it in the language; `kind` is the kind of what
    it charges."""
    labels = _LABELS.get(language, {})
    # Late usage that was taken back does not say of which kind it was.
    kinds = list(labels) if kind == "late_usage" else [kind]
    for known, told in (each for one in kinds for each in labels.get(one, {}).items()):
        if label.endswith(known):
            return label.removesuffix(known) + told
    return label
