"""The invoice's lines against what the bundle's usage comes to under its terms."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from billing.core.contract import Contract, credited_spans, priced_spans, rated_contract
from billing.core.currencies import Currency, UnknownCurrency, currency_of
from billing.core.exact import plain
from billing.core.periods import Period
from billing.core.proof.contests import SamplesMissing
from billing.core.proof.known import Known
from billing.core.proof.quantities import RollupNotBilled, SpanUsage, usage_by_span
from billing.core.proof.records import RollupRecord
from billing.core.proof.terms import TermsNotReadable, from_json
from billing.core.rating import RatedInvoice, RatedLine
from billing.core.readings import Reading
from hostmeter_verify.coverage import expected_time
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.invoice import decimal

RULES: Final = 1
# What is charged for a period; the others restate earlier ones.
_RATED_KINDS: Final = frozenset(
    {"usage", "recurring", "percentage", "minimum", "true_up", "discount"}
)
# A line's words may be said better one day; its figures may not.
_TEXTS: Final = ("kind", "application_name", "label", "meter", "unit")
_NUMBERS: Final = ("quantity", "unrounded", "amount")
_SPANS_MAX: Final = 10_000


def checked_contract(terms: Any, period: Period) -> Contract:
    """Raises Difference for what no contract can be."""
    found = terms.get("contract") if isinstance(terms, dict) else None
    if found is None:
        raise Difference("terms.json", "contract", "a contract", "none")
    require_equal("the rules' version", "terms.json", RULES, terms.get("rules"))
    try:
        contract = from_json(Contract, found, "contract")
    except (TermsNotReadable, ValueError, TypeError, ArithmeticError) as error:
        raise Difference("terms.json", "the contract", "one that can be rated", error) from error
    require_equal("the contract's period", "terms.json", period, contract.period)
    return contract


def wanted_of(contract: Contract) -> dict[Period, list[Reading]]:
    """Which usage has to be read. Raises Difference."""
    try:
        spans = priced_spans(contract)
        wanted: dict[Period, list[Reading]] = {span: [] for span in credited_spans(contract)}
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise Difference("terms.json", "the contract", "one that can be rated", error) from error
    require(len(spans) <= _SPANS_MAX, "terms.json", "prices and spans", _SPANS_MAX, len(spans))
    for each in spans:
        if each.full.reading is not None:
            own = wanted.setdefault(each.span, [])
            if each.full.reading not in own:
                own.append(each.full.reading)
    return wanted


def checked_currency(code: str, terms: Any) -> Currency:
    """Raises Difference."""
    try:
        currency = currency_of(code)
    except UnknownCurrency as error:
        raise Difference("invoice.json", "currency", "ISO 4217", error) from error
    stated = {"code": currency.code, "decimals": currency.decimals}
    require_equal("the currency", "terms.json", stated, terms.get("currency"))
    return currency


def rated(
    contract: Contract,
    rollups: Iterable[RollupRecord],
    known: Known,
    invoice: Mapping[str, Any],
) -> tuple[RatedInvoice, dict[Period, SpanUsage]]:
    """What the usage comes to; how long a silent host's was expected is taken from the invoice.
    Raises Difference, and SamplesMissing."""
    try:
        usage = usage_by_span(wanted_of(contract), rollups, known)
        quantities = {span: each.quantities for span, each in usage.items()}
        time = {
            span: expected_time(invoice, span, usage[span]) for span in credited_spans(contract)
        }
        return rated_contract(contract, quantities, time), usage
    except RollupNotBilled as error:
        raise Difference("usage.jsonl.gz", "a rollup", "one that is billed", error) from error
    except (SamplesMissing, Difference):
        raise
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise Difference("usage.jsonl.gz", "rating", "usage that can be rated", error) from error


def compare_lines(
    invoice: Mapping[str, Any], computed: RatedInvoice, say: Callable[[str], None]
) -> list[str]:
    """Print each line and hold it against its recomputation; what could not be recomputed is
    returned. Raises Difference at the first that differs."""
    lines: list[Mapping[str, Any]] = invoice["lines"]
    own = [line for line in lines if line.get("kind") in _RATED_KINDS]
    unverified = [
        f"line {lines.index(line) + 1}, {line.get('label')}: lines of the kind "
        f"{line.get('kind')} are not recomputed"
        for line in lines
        if line.get("kind") not in _RATED_KINDS
    ]
    pairs = list(enumerate(zip(own, computed.lines, strict=False), start=1))
    # First all quantities: one that differs moves the rounding of every line.
    for number, (line, expected) in pairs:
        _compare_quantity(number, line, expected)
    for number, (line, expected) in pairs:
        _compare(number, line, expected)
        say(_written(line, expected.currency.code, "ok"))
    require_equal("how many lines", "invoice.json", len(computed.lines), len(own))
    if not unverified:
        require_equal("the total", "invoice.json", computed.total, decimal(invoice, "total"))
    return unverified


def _compare_quantity(number: int, line: Mapping[str, Any], expected: RatedLine) -> None:
    where = _where(number, expected)
    require_equal("the price", where, expected.price_id, line.get("price"))
    require_equal("the application", where, expected.application_id, line.get("application"))
    raw = decimal(line, "raw_quantity")
    require_equal("the raw quantity", where, Decimal(expected.raw_quantity), raw)


def _where(number: int, expected: RatedLine) -> str:
    return f"line {number}, {expected.label}, {expected.application_name}"


def _compare(number: int, line: Mapping[str, Any], expected: RatedLine) -> None:
    where = _where(number, expected)
    for name in _TEXTS:
        require_equal(name, where, getattr(expected, name), line.get(name))
    for name in _NUMBERS:
        require_equal(f"the {name}", where, getattr(expected, name), decimal(line, name))
    require_equal("the attributes", where, dict(expected.attributes), line.get("attributes"))
    refused = decimal(line, "refused_quantity")
    require_equal("what is not billed", where, Decimal(expected.provenance.refused), refused)
    require_equal("why", where, list(expected.provenance.refused_for), line.get("refused_for"))
    measured = [list(each) for each in expected.provenance.to_json()]
    require_equal("how it was measured", where, measured, line.get("measured"))
    facts = line.get("facts")
    stated = dict(facts) if isinstance(facts, dict) else {}
    # For how long a silent host's usage was expected stands in no rollup.
    stated.pop("coverage", None)
    require_equal("the facts", where, dict(expected.facts), stated)
    _compare_steps(where, line.get("steps"), expected)


def _compare_steps(where: str, found: Any, expected: RatedLine) -> None:
    steps = [step.to_json() for step in expected.steps]
    stored = [
        each
        for each in (found if isinstance(found, list) else ())
        if not isinstance(each, dict) or each.get("kind") != "coverage"
    ]
    require_equal("how many steps", where, len(steps), len(stored))
    for number, (step, held) in enumerate(zip(steps, stored, strict=True), start=1):
        figures = (held.get("kind"), held.get("numbers")) if isinstance(held, dict) else held
        require_equal(f"step {number}", where, (step["kind"], step["numbers"]), figures)


def _written(line: Mapping[str, Any], currency: str, outcome: str) -> str:
    quantity = f"{plain(decimal(line, 'quantity'))} {line['unit']}"
    name = line.get("application_name") or "-"
    return "  ".join((line["label"], name, quantity, f"{line['amount']} {currency}", outcome))
