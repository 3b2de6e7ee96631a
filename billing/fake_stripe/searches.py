"""Search: Stripe's query language, over what was known a while ago.

Stripe's search is behind by up to a minute, more in an outage, and is not for reading what was just
written. The fault search_lag_s makes it so here.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from billing.fake_stripe.books import Asked, shown
from billing.fake_stripe.calls import Call, Endpoint
from billing.fake_stripe.lists import page_size
from billing.fake_stripe.refusals import Fields, invalid

CLAUSES_MAX: Final = 10
_CLAUSE: Final = re.compile(
    r"""(?P<minus>-?)(?P<field>[a-z_]+)(?:\[["'](?P<key>[^"']{1,40})["']\])?"""
    r"""(?P<compare>:|~|>=|<=|>|<)(?:["'](?P<text>[^"']*)["']|(?P<number>-?[0-9]+|null))"""
)
_JOIN: Final = re.compile(r"\s+(AND|OR)\s+|\s+")
_FIELDS: Final = {
    "payment_intent": {"amount", "created", "currency", "customer", "metadata", "status"},
    "customer": {"created", "email", "metadata", "name", "phone"},
    "charge": {"amount", "created", "currency", "customer", "metadata", "status"},
}
_ORDERS: Final[dict[str, Callable[[int, int], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_READ_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class _Clause:
    negated: bool
    field: str
    key: str | None
    compare: str
    value: str

    def holds(self, body: Fields) -> bool:
        return self._compares(body) is not self.negated

    def _compares(self, body: Fields) -> bool:
        found: Any = body.get(self.field)
        if self.key is not None:
            found = (found or {}).get(self.key)
        if self.compare == ":":
            return self.value == "null" if found is None else str(found).lower() == self.value
        if self.compare == "~":
            return self.value in str(found or "").lower()
        if found is None:
            return False
        return _ORDERS[self.compare](int(found), int(self.value))


def search_of(kind: str) -> Endpoint:
    """The endpoint that searches objects of a kind."""
    return partial(_search, kind)


def _search(kind: str, call: Call) -> Fields:
    clauses, is_any = _read(call.text("query") or "", _FIELDS[kind])
    limit = page_size(call)
    page = call.text("page")
    place = int(page) if page and page.isdecimal() else None
    if page and place is None:
        raise invalid("This page is none that a search gave", param="page")
    known_until = call.books.now() - call.faults.search_lag_s
    asked = Asked(kind, changed_before=known_until, older_than=place)
    matching: list[tuple[int, Fields]] = []
    while len(matching) <= limit:
        rows = call.books.found(call.account, asked, _READ_AT_ONCE)
        for seq, body in rows:
            holds = (each.holds(body) for each in clauses)
            if any(holds) if is_any else all(holds):
                matching.append((seq, body))
        if len(rows) < _READ_AT_ONCE:
            break
        asked = replace(asked, older_than=rows[-1][0])
    has_more = len(matching) > limit
    shown_now = matching[:limit]
    return {
        "object": "search_result",
        "data": [shown(body) for _, body in shown_now],
        "has_more": has_more,
        "next_page": str(shown_now[-1][0]) if has_more else None,
        "url": f"/v1/{kind}s/search",
    }


def _read(query: str, fields: set[str]) -> tuple[list[_Clause], bool]:
    """The query's clauses and whether one of them is enough. Raises Refused."""
    clauses: list[_Clause] = []
    joins: set[str] = set()
    place = 0
    while True:
        match = _CLAUSE.match(query, place)
        if match is None or len(clauses) == CLAUSES_MAX:
            raise invalid(
                f"We were unable to parse your search query: {query[:200]}", param="query"
            )
        clauses.append(_clause(match, fields))
        place = match.end()
        if place == len(query):
            break
        join = _JOIN.match(query, place)
        if join is None:
            raise invalid(
                f"We were unable to parse your search query: {query[:200]}", param="query"
            )
        joins.add(join[1] or "AND")
        place = join.end()
    if len(joins) > 1:
        raise invalid("AND and OR cannot be combined in one search query", param="query")
    return clauses, joins == {"OR"}


def _clause(match: re.Match[str], fields: set[str]) -> _Clause:
    field, key, compare = match["field"], match["key"], match["compare"]
    text = match["text"] if match["text"] is not None else match["number"]
    if field not in fields or (field == "metadata") != (key is not None):
        raise invalid(f"Field `{field}` is an unsupported search field", param="query")
    if compare in {">", "<", ">=", "<="} and not text.lstrip("-").isdecimal():
        raise invalid("Only numbers can be compared by size", param="query")
    return _Clause(bool(match["minus"]), field, key, compare, text.lower())
