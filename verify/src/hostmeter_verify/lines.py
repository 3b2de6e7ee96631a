"""The invoice's lines against what the bundle's usage comes to under its terms."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from billing.core.charges import rate_usage
from billing.core.currencies import Currency, UnknownCurrency, currency_of
from billing.core.exact import plain
from billing.core.proof.quantities import RollupNotBilled, billable_quantities
from billing.core.proof.terms import TermsNotReadable, from_json
from billing.core.rating import PriceSpec, RatedInvoice, RatedLine
from hostmeter_verify.findings import Difference, require_equal
from hostmeter_verify.invoice import decimal
from hostmeter_verify.usage import Assignments
from metering.core.quality import Profile

RULES: Final = 1
_RATED_KINDS: Final = frozenset({"usage"})
# A line's words may be said better one day; its figures may not.
_TEXTS: Final = ("application_name", "label", "meter", "unit")
_NUMBERS: Final = ("quantity", "unrounded", "amount")
_PRICES_MAX: Final = 1_000


def checked_prices(terms: Any) -> tuple[PriceSpec, ...]:
    """Raises Difference for what no price can be."""
    found = terms.get("prices") if isinstance(terms, dict) else None
    if not isinstance(found, list) or len(found) > _PRICES_MAX:
        raise Difference("terms.json", "prices", "a list", type(found).__name__)
    require_equal("the rules' version", "terms.json", RULES, terms.get("rules"))
    try:
        return tuple(from_json(PriceSpec, each, "prices") for each in found)
    except (TermsNotReadable, ValueError, TypeError) as error:
        raise Difference("terms.json", "a price", "one that can be rated", error) from error


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
    prices: Sequence[PriceSpec],
    rollups: Any,
    profiles: Mapping[str, Profile],
    assignments: Assignments,
    currency: Currency,
) -> RatedInvoice:
    """What the usage comes to. Raises Difference."""
    try:
        usage = billable_quantities(
            prices, rollups, profiles=profiles, assigned=assignments.assigned,
            names=assignments.names,
        )  # fmt: skip
        return rate_usage(prices, usage, currency.code)
    except RollupNotBilled as error:
        raise Difference("usage.jsonl.gz", "a rollup", "one that is billed", error) from error
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
    for number, (line, expected) in enumerate(zip(own, computed.lines, strict=False), start=1):
        _compare(number, line, expected)
        say(_written(line, expected.currency.code, "ok"))
    require_equal("how many lines", "invoice.json", len(computed.lines), len(own))
    if not unverified:
        require_equal("the total", "invoice.json", computed.total, decimal(invoice, "total"))
    return unverified


def _compare(number: int, line: Mapping[str, Any], expected: RatedLine) -> None:
    where = f"line {number}, {expected.label}, {expected.application_name}"
    require_equal("the price", where, expected.price_id, line.get("price"))
    require_equal("the application", where, expected.application_id, line.get("application"))
    for name in _TEXTS:
        require_equal(name, where, getattr(expected, name), line.get(name))
    raw = decimal(line, "raw_quantity")
    require_equal("the raw quantity", where, expected.raw_quantity, raw)
    for name in _NUMBERS:
        require_equal(f"the {name}", where, getattr(expected, name), decimal(line, name))
    refused = decimal(line, "refused_quantity")
    require_equal("what is not billed", where, expected.provenance.refused, refused)
    require_equal("why", where, list(expected.provenance.refused_for), line.get("refused_for"))
    measured = [list(each) for each in expected.provenance.to_json()]
    require_equal("how it was measured", where, measured, line.get("measured"))
    _compare_steps(where, line.get("steps"), expected)


def _compare_steps(where: str, found: Any, expected: RatedLine) -> None:
    steps = [step.to_json() for step in expected.steps]
    stored = found if isinstance(found, list) else []
    require_equal("how many steps", where, len(steps), len(stored))
    for number, (step, held) in enumerate(zip(steps, stored, strict=True), start=1):
        figures = (held.get("kind"), held.get("numbers")) if isinstance(held, dict) else held
        require_equal(f"step {number}", where, (step["kind"], step["numbers"]), figures)


def _written(line: Mapping[str, Any], currency: str, outcome: str) -> str:
    quantity = plain(Decimal(decimal(line, "quantity")))
    name = line.get("application_name") or "-"
    amount = f"{line['amount']} {currency}"
    return f"{line['label']}  {name}  {quantity} {line['unit']}  {amount}  {outcome}"
