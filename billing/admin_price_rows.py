"""A file of prices, read into the prices that a draft would have, and what would change.

The columns are those of the prices' export. A price is known by its code and currency; of a known
one, columns that the file leaves out stay as they are. Amounts are Decimals from the text on.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from billing.admin_prices import PriceForm
from billing.admin_rows import PRICE_COLUMNS
from billing.core.exact import InexactNumber, plain
from billing.models import PlanVersion, Price
from billing.operations.plans import require_prices

BYTES_MAX: Final = 500_000
ROWS_MAX: Final = 1_000
ERRORS_SHOWN: Final = 20
_OF_VERSION: Final = ("plan", "version", "effective_from", "position")
_FIELDS: Final = tuple(name for name in PRICE_COLUMNS if name not in _OF_VERSION)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

_Key = tuple[str, str]
_Row = tuple[int, dict[str, str]]


class PricesNotReadable(ValueError):
    """What is wrong, a line each, with the row as a spreadsheet numbers it and the column."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a price: `fields` are what differs, before and after."""

    what: str
    code: str
    label: str
    currency: str
    fields: tuple[tuple[str, str, str], ...] = ()


def prices_in(content: bytes, draft: PlanVersion) -> list[Price]:
    """The file's prices in their order, unsaved. Raises PricesNotReadable."""
    rows = _ordered(_rows(content), draft)
    known = {_key(price): price for price in draft.prices.all()}
    prices: list[Price] = []
    errors: list[str] = []
    seen: dict[_Key, int] = {}
    for number, row in rows:
        form = _form(row, known.get((row.get("code", ""), row.get("currency", ""))), draft)
        if not form.is_valid():
            errors += _said(number, form)
            continue
        price = form.save(commit=False)
        first = seen.setdefault(_key(price), number)
        if first != number:
            errors.append(f"row {number}, code: row {first} has {price.code!r} too")
        prices.append(price)
    if errors:
        raise PricesNotReadable(errors)
    try:
        require_prices(draft, prices)
    except (ValueError, InexactNumber) as refusal:
        raise PricesNotReadable([str(refusal)]) from refusal
    return prices


def changes_of(draft: PlanVersion, prices: Sequence[Price]) -> list[Change]:
    """What differs from the draft's own prices; what stays as it is is left out."""
    before = {_key(price): price for price in draft.prices.order_by("position")}
    after = {_key(price): price for price in prices}
    found = []
    for key, price in after.items():
        old = before.get(key)
        # A new one is shown by what it says, a known one by what differs.
        fields = tuple(_differing(old, price))
        if old is None or fields:
            found.append(_change("added" if old is None else "changed", price, fields))
    found += [_change("removed", price) for key, price in before.items() if key not in after]
    if not found and list(before) != list(after):
        found.append(Change("moved", "", "the order of the prices", ""))
    return found


def digest_of(changes: Sequence[Change]) -> str:
    """Differs where the changes do: whoever confirms them has seen these."""
    return sha256(repr(changes).encode()).hexdigest()


def _change(what: str, price: Price, fields: tuple[tuple[str, str, str], ...] = ()) -> Change:
    return Change(what, price.code, price.label, price.currency, fields)


def _differing(old: Price | None, new: Price) -> Iterator[tuple[str, str, str]]:
    for name in _FIELDS:
        after = _written(getattr(new, name))
        before = "" if old is None else _written(getattr(old, name))
        if before != after and (old is not None or after not in ("", "[]", "{}")):
            yield name, before, after


def _written(value: Any) -> str:
    """A value as a cell has it."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value) and value:
        return ",".join(sorted(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)


def _key(price: Price) -> _Key:
    return price.code, price.currency


def _rows(content: bytes) -> list[_Row]:
    """Cells by column, with the number of each row; the first one's are the columns."""
    if len(content) > BYTES_MAX:
        raise PricesNotReadable([f"a file of prices has at most {BYTES_MAX:,} bytes"])
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PricesNotReadable([f"the file is no CSV in UTF-8: {error}"]) from error
    columns = [name.strip() for name in table[0]] if table else []
    _require_columns(columns)
    rows: list[_Row] = []
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) > len(columns):
            raise PricesNotReadable([f"row {number}: it has more cells than there are columns"])
        texts = [_text(cell) for cell in cells]
        if any(texts):
            rows.append((number, dict(zip(columns, texts, strict=False))))
    if not rows:
        raise PricesNotReadable(["the file has no price; a version needs at least one"])
    if len(rows) > ROWS_MAX:
        raise PricesNotReadable([f"the file has {len(rows):,} prices; at most {ROWS_MAX:,} fit"])
    return rows


def _require_columns(columns: Sequence[str]) -> None:
    if len(columns) == 1 and ";" in columns[0]:
        raise PricesNotReadable(["row 1: separate the columns by commas, not by semicolons"])
    errors = [
        f"row 1, column {name[:40]!r}: prices have no such column"
        for name in columns
        if name not in PRICE_COLUMNS
    ]
    errors += [
        f"row 1: the column {name!r} is missing"
        for name in ("label", "kind")
        if name not in columns
    ]
    errors += [
        f"row 1, column {name!r}: it stands there twice"
        for name in dict.fromkeys(columns)
        if columns.count(name) > 1
    ]
    if errors:
        raise PricesNotReadable(errors)


def _text(cell: str) -> str:
    """Without the apostrophe by which an export keeps a spreadsheet from running a text."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _ordered(rows: list[_Row], draft: PlanVersion) -> list[_Row]:
    """By their positions, where the file has them; one without follows the row before it. They are
    of one version of this plan, as far as they say."""
    errors: list[str] = []
    version, place = "", 0
    places: dict[int, int] = {}
    placed: list[tuple[int, _Row]] = []
    for number, row in rows:
        if row.get("plan", "") not in ("", draft.plan.name):
            errors.append(f"row {number}, plan: {row['plan'][:40]!r} is not {draft.plan.name!r}")
        version = version or row.get("version", "")
        if row.get("version", "") not in ("", version):
            errors.append(f"row {number}, version: a file has one version's prices, not others too")
        written = row.get("position", "")
        if written and not (written.isascii() and written.isdigit() and len(written) <= 5):
            errors.append(f"row {number}, position: {written[:40]!r} is no whole number")
        elif written and places.setdefault(int(written), number) != number:
            errors.append(f"row {number}, position: row {places[int(written)]} has {written} too")
        elif written:
            place = int(written)
        placed.append((place, (number, row)))
    if errors:
        raise PricesNotReadable(errors)
    return [row for _, row in sorted(placed, key=lambda each: each[0])]


def _form(row: Mapping[str, str], known: Price | None, draft: PlanVersion) -> PriceForm:
    price = Price(plan_version=draft) if known is None else copy(known)
    data = {name: _given(name, row, price) for name in _FIELDS}
    # It takes the place of the known one, under an id of its own.
    price.pk, price._state.adding = uuid4(), True
    return PriceForm(data, instance=price)


def _given(name: str, row: Mapping[str, str], price: Price) -> Any:
    """What a form is sent: the cell, what the field is without one, or what it was."""
    written = row.get(name)
    if written is None:
        written = _written(getattr(price, name))
    elif not written:
        written = _written(getattr(Price(), name))
    if name == "accepted_qualities":
        return [each.strip() for each in written.split(",")]
    return written


def _said(number: int, form: PriceForm) -> Iterator[str]:
    for name, errors in form.errors.items():
        where = f"row {number}" if name == "__all__" else f"row {number}, {name}"
        for error in errors:
            yield f"{where}: {' '.join(str(error).split())[:300]}"
