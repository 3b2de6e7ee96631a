"""Lines that change what was billed before: late usage of earlier periods, and taking back."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from billing.core.contract import rolling_prices
from billing.core.currencies import Currency
from billing.core.periods import Period
from billing.core.proof.records import RecordNotReadable, identifier, member, text
from billing.core.rating import RatedInvoice, RatedLine
from billing.core.restatement import Charge, charge_key, differences, steps
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.invoice import decimal
from hostmeter_verify.lines import Numbered, compare_steps, written
from hostmeter_verify.terms import RatedPeriod

_WHERE: Final = "billed.json"
_FIGURES: Final = ("raw_quantity", "quantity", "unrounded", "amount")
_TEXTS: Final = ("label", "meter", "unit", "application_name")
# What a line that takes another back has in common with it.
_SAME: Final = (
    *_TEXTS, "environment_name", "price", "application", "attributes", "measured", "steps",
    "tax_category", "tax_percent",
)  # fmt: skip
Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Billed:
    """A document that was issued before, with its lines as far as they bill the period that is
    restated. `sign` is -1 where they take off."""

    id: str
    reference: str
    sign: int
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class BilledBefore:
    """By the restated invoices' ids what had billed their periods; and what is taken back."""

    restated: Mapping[str, Sequence[Billed]]
    taken_back: Sequence[Billed]

    @property
    def documents(self) -> int:
        return sum(map(len, self.restated.values())) + len(self.taken_back)


def checked_billed(found: Any) -> BilledBefore:
    """Raises Difference."""
    restated = found.get("restated") if isinstance(found, dict) else None
    if not isinstance(restated, dict):
        raise Difference(_WHERE, "restated", "documents by their invoices", type(restated).__name__)
    return BilledBefore(
        {key: _documents(each) for key, each in restated.items()},
        _documents(found.get("taken_back")),
    )


def _documents(found: Any) -> list[Billed]:
    if not isinstance(found, list):
        raise Difference(_WHERE, "its documents", "a list", type(found).__name__)
    return [_document(each) for each in found]


def _document(found: Any) -> Billed:
    try:
        lines: list[Any] = member(found, "lines", list)
        sign = found.get("sign")
        document = Billed(identifier(found, "id"), text(found, "reference"), sign, lines)
    except RecordNotReadable as error:
        raise Difference(_WHERE, "a document", "its id, reference and lines", error) from error
    require(type(sign) is int and sign in (1, -1), _WHERE, "a document's sign", "1 or -1", sign)
    for line in lines:
        require(isinstance(line, dict), _WHERE, "a line", "an object", type(line).__name__)
    return document


def compare_differences(
    invoice: Mapping[str, Any],
    own: Numbered,
    rated: tuple[RatedPeriod, RatedInvoice],
    billed: BilledBefore,
    say: Callable[[str], None],
) -> None:
    """Print each line that restates a period, and hold it against what the period comes to now
    less all that had been billed for it. Raises Difference."""
    period, computed = rated
    owed = () if period.taken_back else computed.lines
    rolling = frozenset[str]() if period.taken_back else rolling_prices(period.contract)
    before = billed.restated.get(str(period.restates), ())
    reference = period.taken_back or _reference(period, before)
    if invoice["kind"] != "invoice":
        require_equal("what it refers to", "invoice.json", reference, _refers_to(invoice))
    known = _known_lines(owed, before)
    found = differences(
        [_charge_of_rated(line, rolling) for line in owed],
        [_signed(_charge(line, rolling), each.sign) for each in before for line in each.lines],
    )
    sign = -1 if invoice["kind"] == "credit_note" else 1
    for (number, line), each in zip(own, found, strict=False):
        where = f"line {number}, {line.get('label')}, late usage of {reference}"
        template = known[each.change.key]
        _compare_words(where, line, template)
        _compare_charge(where, line, _signed(each.change, sign))
        unit = str(template["unit"])
        steps_now = steps(each, unit, computed.currency)
        compare_steps(where, _listed(line, "steps"), steps_now)
        _compare_facts(where, line, reference, period.period, template)
        say(written(line, computed.currency.code, f"changes {reference}"))
    require_equal(f"how many lines change {reference}", "invoice.json", len(found), len(own))


def _reference(period: RatedPeriod, before: Iterable[Billed]) -> str:
    original = next((each for each in before if each.id == period.restates), None)
    if original is None:
        raise Difference(_WHERE, "what is restated", str(period.restates), "no such invoice")
    return original.reference


def _refers_to(invoice: Mapping[str, Any]) -> Any:
    return invoice.get("refers_to")


def _known_lines(owed: Iterable[RatedLine], before: Iterable[Billed]) -> dict[Hashable, Line]:
    """A line of each charge, for what it is called: as it is rated now, else as it was billed."""
    known = {_charge(line).key: line for each in before for line in each.lines}
    return known | {_charge_of_rated(line).key: _as_line(line) for line in owed}


def _as_line(line: RatedLine) -> Line:
    return {
        "kind": line.kind,
        "price": line.price_id,
        "application": line.application_id,
        "attributes": dict(line.attributes),
        "measured": [list(each) for each in line.provenance.to_json()],
        "facts": {},
        **{name: getattr(line, name) for name in _TEXTS},
    }


def _charge_of_rated(line: RatedLine, rolling: Collection[str] = ()) -> Charge:
    attributes = dict(line.attributes)
    key = charge_key(line.kind, line.price_id, line.application_id, line.label, attributes)
    return Charge(
        key,
        line.amount,
        Decimal(line.raw_quantity),
        line.quantity,
        line.unrounded,
        rolls_over=line.price_id in rolling,
    )


def _charge(line: Line, rolling: Collection[str] = ()) -> Charge:
    price, application, label = (line.get(each) for each in ("price", "application", "label"))
    attributes = line.get("attributes")
    if not isinstance(attributes, dict) or not isinstance(label, str):
        raise Difference(_WHERE, "a line", "its label and attributes", line)
    return Charge(
        charge_key(_kind_of(line), price, application, label, attributes),
        **{name: decimal(line, name) for name in _FIGURES},
        rolls_over=price in rolling,
    )


def _kind_of(line: Line) -> str:
    """A line of a difference is of the kind of the one it changes."""
    facts = line.get("facts")
    kind = facts.get("of_kind", line.get("kind")) if isinstance(facts, dict) else None
    return str(kind)


def _signed(charge: Charge, sign: int) -> Charge:
    return charge if sign > 0 else charge.negated()


def _compare_words(where: str, line: Line, template: Line) -> None:
    for name in (*_TEXTS, "price", "application", "attributes", "measured"):
        require_equal(name, where, template.get(name), line.get(name))


def _compare_charge(where: str, line: Line, expected: Charge) -> None:
    for name in _FIGURES:
        said = f"the {name.replace('_', ' ')}"
        require_equal(said, where, getattr(expected, name), decimal(line, name))


def _compare_facts(where: str, line: Line, reference: str, period: Period, template: Line) -> None:
    facts = line["facts"]
    bounds = [f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (period.start, period.end)]
    require_equal("the invoice", where, reference, facts.get("reference"))
    require_equal("the period", where, bounds, facts.get("period"))
    require_equal("what it changes", where, _kind_of(template), facts.get("of_kind"))


def compare_taken_back(
    invoice: Mapping[str, Any],
    own: Numbered,
    billed: BilledBefore,
    currency: Currency,
    say: Callable[[str], None],
) -> None:
    """Print each line of a note that takes a document back, and hold it against that one's, less
    what notes had taken off it before; a debit note charges the difference back. Raises
    Difference."""
    sign = -1 if invoice["kind"] == "debit_note" else 1
    expected = [(each, line) for each in billed.taken_back for line in each.lines]
    if expected:
        reference = billed.taken_back[0].reference
        require_equal("what it refers to", "invoice.json", reference, _refers_to(invoice))
    for (number, line), (document, taken) in zip(own, expected, strict=False):
        where = f"line {number}, {line.get('label')}, of {document.reference}"
        for name in _SAME:
            require_equal(name, where, taken.get(name), line.get(name))
        _compare_charge(where, line, _signed(_charge(taken), document.sign * sign))
        facts = {
            "takes_back": document.id,
            "of_kind": taken.get("kind"),
            "position": taken.get("position"),
        }
        require_equal("what it takes back", where, facts, line.get("facts"))
        say(written(line, currency.code, f"takes back {document.reference}"))
    require_equal("how many lines take back", "invoice.json", len(expected), len(own))


def _listed(line: Line, name: str) -> list[Any]:
    found = line.get(name)
    return found if isinstance(found, list) else []
