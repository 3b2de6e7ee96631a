"""The running period of customers with many applications, counted ahead and kept for a while.

Rating a thousand applications takes many seconds, which a page may not. So what pages show of them
is what a worker counted last; each page says when that was. Those of few applications are rated as
somebody looks.
"""

import logging
import pickle
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

from django.core.cache import cache
from django.db import transaction

from billing.core.rating import RatedLine
from billing.queries import MonthToDate, month_to_date, upcoming_invoice
from metering.models import Assignment
from portal.charges import is_charge, keyed
from portal.running import (
    BeingCounted,
    RunningHead,
    RunningInvoice,
    RunningMonth,
    live_invoice,
    running_month,
)
from tenants.models import Customer

# So many are rated within a fifth of a second.
LIVE_APPLICATIONS_MAX: Final = 8
# So many the first page may wait for; of more, a worker counts first.
WAITED_FOR_MAX: Final = 100
# Counting takes at most a tenth of a worker while somebody looks.
_RESTS_FOR_TIMES: Final = 10
_FRESH_FOR_MIN: Final = timedelta(minutes=1)
_KEPT_SECONDS: Final = 26 * 3_600
# Whoever counts has so long before another one is asked to.
_ASKED_SECONDS: Final = 300
_LET_GO_AFTER_SECONDS: Final = 120
# About as many as a page of an invoice shows.
_APPLICATIONS_A_PIECE: Final = 25
# Changed with the classes that are kept: older ones are then counted anew.
_FORM: Final = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    month: RunningMonth | None
    counted_at: datetime
    took: timedelta


def invoice_so_far(customer: Customer, *, as_of: datetime) -> RunningInvoice | None:
    """The running invoice; None without a subscription or prices. Raises BeingCounted."""
    if _has_few(customer):
        upcoming = upcoming_invoice(customer, as_of=as_of)
        return None if upcoming is None else live_invoice(upcoming)
    month = _kept_month(customer, as_of)
    return None if month is None else _invoice_of(customer, month.head)


def month_so_far(customer: Customer, *, as_of: datetime) -> RunningMonth | None:
    """The running period; None without a subscription or prices. Raises BeingCounted."""
    if _has_few(customer):
        month = month_to_date(customer, as_of=as_of)
        return None if month is None else running_month(month)
    return _kept_month(customer, as_of)


def applications_counted(customer: Customer) -> int:
    """How many applications are, were or will be billed to the customer."""
    owned = Assignment.objects.filter(customer=customer).order_by()
    return owned.values("application").distinct().count()


def keep_month(customer: Customer, *, as_of: datetime) -> None:
    """Count the customer's running period and keep it."""
    began = monotonic()
    month = month_to_date(customer, as_of=as_of)
    counted = None if month is None else running_month(month)
    pieces = {} if month is None or counted is None else _pieces(customer, counted.head, month)
    before = _read(_key(customer, "month"))
    cache.set_many(pieces, _KEPT_SECONDS)
    # The month last: whoever finds it finds its lines too.
    took = timedelta(seconds=monotonic() - began)
    cache.set(_key(customer, "month"), pickle.dumps(_Kept(counted, as_of, took)), _KEPT_SECONDS)
    if isinstance(before, _Kept):
        _let_go(customer, before)


def forget_month(customer: Customer) -> None:
    """Let go of what is kept of the customer."""
    kept = _read(_key(customer, "month"))
    cache.delete(_key(customer, "month"))
    if isinstance(kept, _Kept):
        _let_go(customer, kept)


def is_stale(customer: Customer, *, as_of: datetime) -> bool:
    """Whether it is time to count the customer's running period again."""
    kept = _read(_key(customer, "month"))
    return not isinstance(kept, _Kept) or _is_old(kept, as_of)


def _has_few(customer: Customer) -> bool:
    return applications_counted(customer) <= LIVE_APPLICATIONS_MAX


def _is_old(kept: _Kept, as_of: datetime) -> bool:
    return as_of - kept.counted_at > max(_FRESH_FOR_MIN, kept.took * _RESTS_FOR_TIMES)


def _kept_month(customer: Customer, as_of: datetime) -> RunningMonth | None:
    kept = _read(_key(customer, "month"))
    # A period that is over is not shown as the running one.
    if isinstance(kept, _Kept) and (kept.month is None or as_of < kept.month.head.period.end):
        if _is_old(kept, as_of):
            _ask(customer)
        return kept.month
    if applications_counted(customer) > WAITED_FOR_MAX:
        _ask(customer)
        raise BeingCounted
    keep_month(customer, as_of=as_of)
    counted = _read(_key(customer, "month"))
    if not isinstance(counted, _Kept):
        raise BeingCounted
    return counted.month


def _ask(customer: Customer) -> None:
    """Have a worker count, unless one has been asked just now."""
    if cache.add(_key(customer, "asked"), 1, timeout=_ASKED_SECONDS):
        # Late: the task's module takes what is here.
        from portal.tasks import keep_running_month

        transaction.on_commit(
            lambda: keep_running_month.delay(str(customer.tenant_id), str(customer.pk))
        )


def answered(customer: Customer) -> None:
    """What was asked for is there; the next page may ask again."""
    cache.delete(_key(customer, "asked"))


def _pieces(customer: Customer, head: RunningHead, month: MonthToDate) -> dict[str, bytes]:
    """What a page needs some of: lines by application, and those that are of none's usage."""
    lines: defaultdict[str | None, list[RatedLine]] = defaultdict(list)
    for line in month.upcoming.lines:
        lines[line.application_id].append(line)
    owners = [each.application_id for each in head.charges]
    pieces = {
        _piece(customer, head, number): pickle.dumps(
            {each: pickle.dumps(lines[str(each) if each else None]) for each in together}
        )
        for number, together in enumerate(_split(owners))
    }
    named = keyed(customer, month.upcoming.lines)
    charges = {key: line for key, line in named if is_charge(line)}
    return pieces | {_piece(customer, head, "charges"): pickle.dumps(charges)}


def _split(owners: Sequence[UUID | None]) -> list[Sequence[UUID | None]]:
    starts = range(0, len(owners), _APPLICATIONS_A_PIECE)
    return [owners[start : start + _APPLICATIONS_A_PIECE] for start in starts]


def _let_go(customer: Customer, kept: _Kept) -> None:
    """Whoever is reading it still finds the rest of it."""
    if kept.month is not None:
        head = kept.month.head
        for number in range(-(-len(head.charges) // _APPLICATIONS_A_PIECE)):
            cache.touch(_piece(customer, head, number), _LET_GO_AFTER_SECONDS)
        cache.touch(_piece(customer, head, "charges"), _LET_GO_AFTER_SECONDS)


def _invoice_of(customer: Customer, head: RunningHead) -> RunningInvoice:
    def read(piece: int | str) -> Any:
        found = _read(_piece(customer, head, piece))
        if found is None:
            # A piece is gone, as when the cache was short of memory: all is counted again.
            cache.delete(_key(customer, "month"))
            _ask(customer)
            raise BeingCounted
        return found

    def lines_of(application_ids: Collection[UUID | None]) -> Sequence[RatedLine]:
        known = {each.application_id: place for place, each in enumerate(head.charges)}
        wanted = [each for each in application_ids if each in known]
        pieces: dict[int, Any] = {}
        lines: list[RatedLine] = []
        for each in wanted:
            number = known[each] // _APPLICATIONS_A_PIECE
            if number not in pieces:
                pieces[number] = read(number)
            lines += pickle.loads(pieces[number][each])  # noqa: S301  our own
        return lines

    def charge_of(key: str) -> RatedLine | None:
        line: RatedLine | None = read("charges").get(key)
        return line

    return RunningInvoice(head, lines_of, charge_of)


def _piece(customer: Customer, head: RunningHead, which: int | str) -> str:
    return _key(customer, f"{head.as_of.timestamp()}:{which}")


def _key(customer: Customer, what: str) -> str:
    return f"running:{_FORM}:{customer.tenant_id}:{customer.pk}:{what}"


def _read(key: str) -> Any:
    """What is kept, or None; what cannot be read any more, as after an upgrade, is not there."""
    stored = cache.get(key)
    if stored is None:
        return None
    try:
        return pickle.loads(stored)  # noqa: S301  our own, in a store of our own
    except (AttributeError, ImportError, TypeError, ValueError, pickle.PickleError):
        _log.warning("what was kept at %s cannot be read; it is counted again", key)
        return None
