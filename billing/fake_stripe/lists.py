"""Lists, newest first, with cursors."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from billing.fake_stripe.books import Asked, shown
from billing.fake_stripe.calls import Call, Endpoint
from billing.fake_stripe.refunds import settle_refunds
from billing.fake_stripe.refusals import Fields, invalid, missing

PAGE: Final = 10
PAGE_MAX: Final = 100
_READ_AT_ONCE: Final = 200


def list_of(kind: str, what: str) -> Endpoint:
    """The endpoint that lists objects of a kind."""
    return partial(_list, kind, what)


def _list(kind: str, what: str, call: Call) -> Fields:
    if kind == "refund":
        settle_refunds(call)
    limit = page_size(call)
    before, after = call.text("ending_before"), call.text("starting_after")
    if before and after:
        raise invalid("Give one of starting_after and ending_before", param="ending_before")
    created_from, created_before = _created(call)
    asked = Asked(
        kind,
        customer=call.ids[0] if call.ids else call.text("customer"),
        parent=call.text("payment_intent"),
        created_from=created_from,
        created_before=created_before,
        older_than=_place(call, what, after, "starting_after"),
        newer_than=_place(call, what, before, "ending_before"),
    )
    found = list(islice(_matching(call, asked), limit + 1))
    has_more, page = len(found) > limit, found[:limit]
    if before:
        page.reverse()
    return {
        "object": "list",
        "data": [shown(each) for each in page],
        "has_more": has_more,
        "url": f"/v1/{kind}s",
    }


def page_size(call: Call) -> int:
    limit = call.number("limit")
    if limit is None:
        return PAGE
    if not 1 <= limit <= PAGE_MAX:
        raise invalid(f"limit is from 1 to {PAGE_MAX}", param="limit")
    return limit


def _place(call: Call, what: str, identifier: str | None, param: str) -> int | None:
    if identifier is None:
        return None
    place = call.books.place_of(call.account, identifier)
    if place is None:
        raise missing(what, identifier, param=param)
    return place


def _created(call: Call) -> tuple[int, int]:
    exactly = call.number("created")
    if exactly is not None:
        return exactly, exactly + 1
    given = call.nested("created")
    least = max(given.get("gte", 0), given.get("gt", -1) + 1)
    most = min(given.get("lt", 1 << 62), given.get("lte", (1 << 62) - 1) + 1)
    return least, most


def _matching(call: Call, asked: Asked) -> Iterator[Fields]:
    """Objects that the list wants, page by page of the books."""
    while True:
        rows = call.books.found(call.account, asked, _READ_AT_ONCE)
        for _, body in rows:
            if not body.get("deleted") and _has_what_is_asked(call, body):
                yield body
        if len(rows) < _READ_AT_ONCE:
            return
        last = rows[-1][0]
        if asked.newer_than is None:
            asked = replace(asked, older_than=last)
        else:
            asked = replace(asked, newer_than=last)


def _has_what_is_asked(call: Call, body: Fields) -> bool:
    if (charge := call.text("charge")) and body.get("charge") != charge:
        return False
    if (email := call.text("email")) and body.get("email") != email:
        return False
    kinds = call.fields.get("types")
    wanted = kinds if isinstance(kinds, list) else [call.text("type")] if call.text("type") else []
    return not wanted or body.get("type") in wanted
