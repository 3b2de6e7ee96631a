"""Random documents: any mix of charges, taxes, discounts and credit."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.documents.document import InvoiceDocument, Line, Reference
from tests.billing.documents.samples import line, taxed_document

_GROUPS = [("S", "19"), ("S", "7"), ("S", "5.5"), ("Z", "0"), ("E", "0"), ("AE", "0"),
           ("K", "0"), ("G", "0")]  # fmt: skip
_KINDS = ["usage", "recurring", "percentage", "minimum", "true_up", "discount", "late_usage",
          "correction"]  # fmt: skip
_UNITS = ["CPU-second", "CPU-hour", "GB-hour", "GB", "GiB", "one", "thousand", "million", ""]
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cn", "Cc"])
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and text.isprintable()
)


def cents(least: int, most: int) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most).map(lambda units: Decimal(units).scaleb(-2))


@st.composite
def lines(draw: st.DrawFn, position: int) -> Line:
    kind = draw(st.sampled_from(_KINDS))
    unit_price = draw(st.none() | st.decimals("0", "10", places=6))
    quantity = draw(st.decimals("0", "1000000", places=9))
    amount = draw(cents(-100_000, 10_000_000))
    if unit_price is not None and draw(st.booleans()):
        amount = (unit_price * quantity).quantize(Decimal("0.01"))
    elif unit_price is not None:
        unit_price = None
    return line(
        position, str(amount), kind=kind, label=draw(_NAMES), application=draw(_NAMES),
        unit=draw(st.sampled_from(_UNITS)), quantity=quantity, unit_price=unit_price,
        attributes=tuple(draw(st.lists(st.tuples(_NAMES, _NAMES), max_size=2))),
    )  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> InvoiceDocument:
    outside = draw(st.booleans())
    groups = [("O", "0")] if outside else draw(
        st.lists(st.sampled_from(_GROUPS), min_size=1, max_size=3, unique=True)
    )  # fmt: skip
    taxed = []
    for position in range(1, draw(st.integers(1, 6)) + 1):
        category, percent = draw(st.sampled_from(groups))
        taxed.append((category, Decimal(percent), draw(lines(position))))
    kind = draw(st.sampled_from(["invoice", "credit_note", "debit_note"]))
    changes: dict[str, Any] = {
        "kind": kind, "language": draw(st.sampled_from(["en", "de", "fr"])),
        "credit_applied": draw(st.just(Decimal("0.00")) | cents(0, 100_000)),
        "purchase_order": draw(st.just("") | _NAMES), "reason": draw(st.just("") | _NAMES),
    }  # fmt: skip
    if kind != "invoice":
        changes["refers_to"] = Reference("INV-1", None)
    return taxed_document(taxed, tax_inclusive=draw(st.booleans()), **changes)
