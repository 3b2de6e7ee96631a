"""terms.json: by what the document was rated, its own period and those that it restates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from billing.core.contract import Contract
from billing.core.currencies import Currency, UnknownCurrency, currency_of
from billing.core.periods import Period
from billing.core.proof.known import Silent
from billing.core.proof.records import (
    RecordNotReadable,
    identifier,
    instant,
    integer,
    member,
    role,
)
from billing.core.proof.terms import TermsNotReadable, from_json
from hostmeter_verify.findings import Difference, require, require_equal

RULES: Final = 1
_WHERE: Final = "terms.json"
_ITEMS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class RatedPeriod:
    """A billing period to be rated: that of an invoice, or one that it, or a note, `restates`, by
    the id of the invoice for it. `silences` is None where they are not known. Nothing is owed any
    more for one that was `taken_back`, which is its number then."""

    contract: Contract
    silences: Sequence[Silent] | None
    restates: str | None
    taken_back: str | None = None

    @property
    def period(self) -> Period:
        return self.contract.period


def checked_terms(terms: Any, invoice: Mapping[str, Any], own: Period) -> list[RatedPeriod]:
    """The periods, an invoice's own first. Raises Difference for what no terms can be."""
    require(isinstance(terms, dict), _WHERE, "as a whole", "an object", type(terms).__name__)
    require_equal("the rules' version", _WHERE, RULES, terms.get("rules"))
    found = []
    if invoice["kind"] == "invoice":
        found.append(_rated_period(terms, None))
        require_equal("the contract's period", _WHERE, own, found[0].period)
    else:
        require_equal("the contract of a note", _WHERE, None, terms.get("contract"))
    kept = terms.get("kept", True)
    require(isinstance(kept, bool), _WHERE, "kept", "true or false", kept)
    restated = terms.get("restated", [])
    if not isinstance(restated, list) or len(restated) > _ITEMS_MAX:
        raise Difference(_WHERE, "restated", "a list", type(restated).__name__)
    for each in restated:
        try:
            found.append(_rated_period(each, identifier(each, "invoice")))
        except RecordNotReadable as error:
            raise Difference(_WHERE, "a restated period", "its invoice", error) from error
    for before, after in pairwise(sorted(found, key=lambda each: each.period.start)):
        apart = before.period.end <= after.period.start
        require(apart, _WHERE, "the periods", f"none before {before.period.end}", after.period)
    return found


def _rated_period(record: Mapping[str, Any], restates: str | None) -> RatedPeriod:
    if record.get("contract") is None:
        raise Difference(_WHERE, "contract", "a contract", "none")
    try:
        contract = from_json(Contract, record["contract"], "contract")
    except (TermsNotReadable, ValueError, TypeError, ArithmeticError) as error:
        raise Difference(_WHERE, "the contract", "one that can be rated", error) from error
    taken_back = record.get("taken_back")
    named = taken_back is None or isinstance(taken_back, str)
    require(named, _WHERE, "taken_back", "an invoice's number", taken_back)
    return RatedPeriod(contract, _silences(record), restates, taken_back)


def _silences(record: Mapping[str, Any]) -> list[Silent] | None:
    if record.get("silences") is None:
        return None
    try:
        return [_silent(each) for each in member(record, "silences", list)]
    except RecordNotReadable as error:
        raise Difference(_WHERE, "silences", "instances and times", error) from error


def _silent(record: Any) -> Silent:
    return Silent(
        identifier(record, "application"),
        identifier(record, "instance"),
        role(record),
        instant(integer(record, "start")),
        instant(integer(record, "end")),
    )


def checked_currency(code: str, terms: Mapping[str, Any]) -> Currency:
    """Raises Difference."""
    try:
        currency = currency_of(code)
    except UnknownCurrency as error:
        raise Difference("invoice.json", "currency", "ISO 4217", error) from error
    stated = {"code": currency.code, "decimals": currency.decimals}
    require_equal("the currency", _WHERE, stated, terms.get("currency"))
    return currency
