"""Billing runs: what is due is cut into shards, and any number of workers close shards until none
is left. A shard is one transaction, so a worker that is killed leaves it as it was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q

from billing.core.periods import Period
from billing.models import BillingRun, BillingShard, Invoice, Subscription
from billing.operations.drafting import Due, draft_invoices
from billing.queries import periods_due

# Some fifty invoices are a second's work: short enough to hold their locks, long enough that the
# transaction itself costs nothing.
SUBSCRIPTIONS_PER_SHARD: Final = 50
_LOOKED_AT_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Failure:
    """What was left as it was, and why; `customer` is the reference of whom it bills."""

    customer: str
    error: Exception

    def __str__(self) -> str:
        reason = str(self.error).strip() or type(self.error).__name__
        return f"{self.customer}: {reason.splitlines()[0]}"


@dataclass(slots=True)
class Closed:
    """What came of a shard."""

    invoices: list[Invoice] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def start_run(*, as_of: datetime, at: datetime) -> BillingRun | None:
    """The tenant's unfinished run, whoever began it, or else a new one over every subscription
    with a period that is due at `as_of`; None where nothing is."""
    for unfinished in BillingRun.objects.filter(finished_at=None):
        if not _finish(unfinished, at):
            return unfinished
    try:
        with transaction.atomic():
            run = BillingRun.objects.create(as_of=as_of)
            run.subscriptions = _cut(run, _due_subscriptions(as_of))
            if not run.subscriptions:
                run.delete()
                return None
            run.save(update_fields=["subscriptions"])
            return run
    except IntegrityError:
        # Another worker began one in the meantime.
        return BillingRun.objects.filter(finished_at=None).first()


def _cut(run: BillingRun, due: Iterator[UUID]) -> int:
    """Shards of what is due, written as they fill; how many subscriptions they hold."""
    count = position = 0
    chunk: list[UUID] = []
    for subscription_id in due:
        chunk.append(subscription_id)
        count += 1
        if len(chunk) == SUBSCRIPTIONS_PER_SHARD:
            position = _cut_off(run, position, chunk)
            chunk = []
    if chunk:
        _cut_off(run, position, chunk)
    return count


def _cut_off(run: BillingRun, position: int, subscription_ids: Sequence[UUID]) -> int:
    BillingShard.objects.create(
        run=run, position=position + 1, subscription_ids=list(subscription_ids)
    )
    return position + 1


def _due_subscriptions(as_of: datetime) -> Iterator[UUID]:
    """In the order in which customers came, so that however many there are, a part of them is in
    memory at a time. Those who came together mostly are on the same hosts: their usage lies
    together in the database, which reads it many times faster than that of customers at random."""
    rows = Subscription.objects.select_related("customer", "plan")
    rows = rows.order_by("customer__created_at", "pk")
    beyond = Q()
    while subscriptions := list(rows.filter(beyond)[:_LOOKED_AT_AT_ONCE]):
        for subscription_id, periods in periods_due(subscriptions, as_of=as_of).items():
            if next(periods, None) is not None:
                yield subscription_id
        last = subscriptions[-1]
        came = last.customer.created_at
        beyond = Q(customer__created_at__gt=came) | Q(customer__created_at=came, pk__gt=last.pk)


def close_next_shard(run: BillingRun, *, at: datetime) -> Closed | None:
    """Close one shard that nobody else is at; None where there is none left to begin, and the run
    is finished as soon as none is being worked on either."""
    with transaction.atomic():
        shard = (
            BillingShard.objects.select_for_update(skip_locked=True)
            .filter(run=run, done_at=None)
            .order_by("position")
            .first()
        )
        if shard is None:
            _finish(run, at)
            return None
        closed = _close(shard, run.as_of)
        _have_invoices_counted()
        shard.invoices = len(closed.invoices)
        shard.failures = [
            (failure.customer, str(failure).removeprefix(f"{failure.customer}: ")[:500])
            for failure in closed.failures
        ]
        shard.done_at = at
        shard.save(update_fields=["invoices", "failures", "done_at"])
        return closed


def _have_invoices_counted() -> None:
    """How the lines' keys to invoices are checked is planned once a session: by what the database
    counted when there were none, each line is checked by all invoices that there are. Counting them
    makes for a new plan."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_count_new_invoices()")


def _finish(run: BillingRun, at: datetime) -> bool:
    """Whether the run has no shard left that is open; it is finished then."""
    still_open = BillingShard.objects.filter(run=OuterRef("pk"), done_at=None)
    runs = BillingRun.objects.filter(pk=run.pk, finished_at=None)
    return bool(runs.exclude(Exists(still_open)).update(finished_at=at))


def _close(shard: BillingShard, as_of: datetime) -> Closed:
    """Each subscription's periods, the oldest first; after a failure the later ones wait."""
    closed = Closed()
    rows = Subscription.objects.select_related("customer", "plan")
    waiting = list(rows.filter(pk__in=shard.subscription_ids).order_by("customer__reference"))
    due = periods_due(waiting, as_of=as_of)
    while waiting:
        turn, outcomes = _turn(waiting, due, as_of)
        waiting = []
        for subscription, outcome in zip(turn, outcomes, strict=True):
            if isinstance(outcome, Exception):
                closed.failures.append(Failure(subscription.customer.reference, outcome))
            else:
                closed.invoices.append(outcome)
                waiting.append(subscription)
    return closed


def _turn(
    waiting: Sequence[Subscription], due: Mapping[UUID, Iterator[Period]], as_of: datetime
) -> tuple[list[Subscription], list[Invoice | Exception]]:
    """The next period of each that has one, and what became of it."""
    failed: dict[Subscription, Exception] = {}
    periods: list[Due] = []
    for subscription in waiting:
        try:
            periods += [(subscription, period) for period in islice(due[subscription.pk], 1)]
        except Exception as error:  # noqa: BLE001 whatever it is, the others are closed
            failed[subscription] = error
    drafted = _drafted(periods, as_of) if periods else []
    return [*failed, *(subscription for subscription, _ in periods)], [*failed.values(), *drafted]


def _drafted(due: Sequence[Due], as_of: datetime) -> list[Invoice | Exception]:
    """All together or, where the database refuses that, one by one."""
    try:
        with transaction.atomic():
            return draft_invoices(due, as_of=as_of)
    except Exception as error:  # noqa: BLE001 whatever it is, the others are closed
        if len(due) == 1:
            return [error]
    return [drafted for each in due for drafted in _drafted([each], as_of)]
