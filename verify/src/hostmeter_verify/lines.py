"""The invoice's lines against what the bundle's usage comes to under its terms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from billing.core.contract import Contract, credited_spans, priced_spans, rated_contract
from billing.core.exact import plain
from billing.core.explanation import StepJson
from billing.core.periods import Period
from billing.core.proof.contests import SamplesMissing
from billing.core.proof.known import Known
from billing.core.proof.quantities import RollupNotBilled, usage_by_span
from billing.core.proof.records import RollupRecord
from billing.core.rating import RatedInvoice, RatedLine
from billing.core.readings import Reading
from hostmeter_verify.coverage import expected_time
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.invoice import decimal
from hostmeter_verify.terms import RatedPeriod

# A line's words may be said better one day; its figures may not.
_TEXTS: Final = ("kind", "application_name", "label", "meter", "unit")
_NUMBERS: Final = ("quantity", "unrounded", "amount")
_SPANS_MAX: Final = 10_000
# Lines by their numbers.
Numbered = Sequence[tuple[int, Mapping[str, Any]]]


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


def rated(
    periods: Sequence[RatedPeriod], rollups: Iterable[RollupRecord], known: Known
) -> list[RatedInvoice]:
    """What the usage comes to in each period. Raises Difference, and SamplesMissing."""
    wanted: dict[Period, list[Reading]] = {}
    for each in periods:
        wanted |= wanted_of(each.contract)
    try:
        usage = usage_by_span(wanted, rollups, known)
        quantities = {span: each.quantities for span, each in usage.items()}
        time = {
            span: expected_time(known, span, usage[span])
            for each in periods
            for span in credited_spans(each.contract)
        }
        return [rated_contract(each.contract, quantities, time) for each in periods]
    except RollupNotBilled as error:
        raise Difference("usage.jsonl.gz", "a rollup", "one that is billed", error) from error
    except (SamplesMissing, Difference):
        raise
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise Difference("usage.jsonl.gz", "rating", "usage that can be rated", error) from error


def compare_lines(lines: Numbered, computed: RatedInvoice, say: Callable[[str], None]) -> None:
    """Print each line of what is charged for the invoice's own period, and hold it against its
    recomputation. Raises Difference at the first that differs."""
    pairs = list(zip(lines, computed.lines, strict=False))
    # First all quantities: one that differs moves the rounding of every line.
    for (number, line), expected in pairs:
        _compare_quantity(number, line, expected)
    for (number, line), expected in pairs:
        _compare(number, line, expected)
        say(written(line, expected.currency.code))
    require_equal("how many lines", "invoice.json", len(computed.lines), len(lines))


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
    covered = "coverage" in expected.facts
    stated |= _coverage_of(stated, covered=covered)
    if not covered:
        # For how long a silent host's usage was expected stands in no rollup.
        stated.pop("coverage", None)
    require_equal("the facts", where, dict(expected.facts), stated)
    compare_steps(
        where,
        [
            each
            for each in _list_of(line.get("steps"))
            if covered or not isinstance(each, dict) or each.get("kind") != "coverage"
        ],
        [step.to_json() for step in expected.steps],
    )


def _coverage_of(facts: Mapping[str, Any], *, covered: bool) -> dict[str, Any]:
    """The fact without its causes, which hosts and the provider state."""
    coverage = facts.get("coverage")
    if not covered or not isinstance(coverage, dict):
        return {}
    return {"coverage": {key: each for key, each in coverage.items() if key != "causes"}}


def _list_of(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def compare_steps(where: str, stored: Sequence[Any], steps: Sequence[StepJson]) -> None:
    """By what they are and their numbers: their words may change. Raises Difference."""
    require_equal("how many steps", where, len(steps), len(stored))
    for number, (step, held) in enumerate(zip(steps, stored, strict=True), start=1):
        figures = (held.get("kind"), held.get("numbers")) if isinstance(held, dict) else held
        require_equal(f"step {number}", where, (step["kind"], step["numbers"]), figures)


def written(line: Mapping[str, Any], currency: str, *more: str) -> str:
    """A line that is as it has to be."""
    quantity = f"{plain(decimal(line, 'quantity'))} {line.get('unit')}"
    name = line.get("application_name") or "-"
    label = str(line.get("label"))
    return "  ".join((label, name, *more, quantity, f"{line['amount']} {currency}", "ok"))
