"""What a plan version would have charged for usage that was."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from django.core import signing
from pydantic import Field

from billing.api.fields import Exact
from billing.api.plans import visible_version
from billing.core.periods import Period, PeriodEmpty
from billing.models import PlanVersion
from billing.queries.backtest import (
    BacktestedPeriod,
    BacktestTotal,
    backtest_totals,
    backtested_chunks,
    backtested_subscriptions,
)
from tenants.api.caller import ApiRequest
from tenants.api.errors import unprocessable
from tenants.api.fields import Given, Instant, Taken, example
from tenants.api.resources import Resources

backtests = Resources()
_LENGTH_MAX: Final = timedelta(days=400)
# An answer of totals alone ends with the fifty subscriptions that bring it there.
_PERIODS_ENOUGH: Final = 500
_SIGNER: Final = signing.Signer(salt="backtest")


class BacktestIn(Taken):
    """Billing periods that begin in [from, to) and have ended; those of fifty subscriptions an
    answer, or with `totals_only` of as many as bring about 500 periods."""

    model_config = example(
        {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z", "totals_only": True}
    )

    start: Annotated[Instant, Field(alias="from")]
    end: Annotated[Instant, Field(alias="to")]
    totals_only: Annotated[bool, Field(description="Leave `periods` empty, and look further.")] = (
        False
    )
    after: Annotated[
        str | None,
        Field(
            max_length=20_000,
            description="The `next` of the answer before, of the same version, from and to.",
        ),
    ] = None


class BacktestedPeriodOut(Given):
    """Before tax. `unrated` says why one of both could not rate it; the amounts are 0 then."""

    customer_id: UUID
    customer_reference: str
    period_start: Instant
    period_end: Instant
    currency: str
    old: Exact
    new: Exact
    difference: Exact
    unrated: str


class BacktestTotalOut(Given):
    """All periods in one currency that could be rated, before tax."""

    currency: str
    periods: int
    old: Exact
    new: Exact
    difference: Exact


class BacktestOut(Given):
    """`periods` are those of this answer. `totals`, of the periods that could be rated, `unrated`,
    how many could not, and `subscriptions_done` are of this answer and all before it: of the whole
    backtest once `next` is null. `subscriptions` is how many there are to look at; `as_of` is the
    moment of the first answer, by which a period has ended."""

    plan_version_id: UUID
    as_of: Instant
    subscriptions: int
    subscriptions_done: int
    totals: list[BacktestTotalOut]
    unrated: int
    periods: list[BacktestedPeriodOut]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a backtest is: all that its next answer has to know."""

    as_of: datetime
    last: UUID | None = None
    subscriptions: int = 0
    unrated: int = 0
    totals: tuple[BacktestTotal, ...] = ()


@backtests.computing(
    "/plan-versions/{uuid:version_id}/backtest",
    scope="backtests:run",
    answers=BacktestOut,
    summary="Rate past periods with a plan version, a draft too; nothing is written",
)
def backtest_a_version(request: ApiRequest, version_id: UUID, backtest: BacktestIn) -> BacktestOut:
    version = visible_version(request.caller, version_id)
    period = _period_of(backtest)
    of = [str(version.pk), period.start.isoformat(), period.end.isoformat()]
    before = _Progress(request.as_of) if backtest.after is None else _read(backtest.after, of)
    done, periods, more = _looked_further(version, period, before, backtest.totals_only)
    return BacktestOut(
        plan_version_id=version.pk,
        as_of=done.as_of,
        subscriptions=backtested_subscriptions(version, period),
        subscriptions_done=done.subscriptions,
        totals=[_shown_total(total) for total in done.totals],
        unrated=done.unrated,
        periods=[_shown(each) for each in periods],
        next=_written(done, of) if more else None,
    )


def _period_of(backtest: BacktestIn) -> Period:
    try:
        period = Period(backtest.start, backtest.end)
    except PeriodEmpty as error:
        raise unprocessable(("to", "it has to lie after from")) from error
    if period.end - period.start > _LENGTH_MAX:
        raise unprocessable(("to", f"at most {_LENGTH_MAX.days} days after from"))
    return period


def _looked_further(
    version: PlanVersion, period: Period, done: _Progress, totals_only: bool
) -> tuple[_Progress, list[BacktestedPeriod], bool]:
    """How far it is now, the periods to show, and whether there is more."""
    found = 0
    for chunk in backtested_chunks(version, period, as_of=done.as_of, after=done.last):
        rated = [each for each in chunk.periods if not each.unrated]
        done = replace(
            done,
            last=chunk.last,
            subscriptions=done.subscriptions + chunk.subscriptions,
            unrated=done.unrated + len(chunk.periods) - len(rated),
            totals=tuple(backtest_totals(rated, done.totals)),
        )
        if not totals_only:
            return done, list(chunk.periods), chunk.more
        # A subscription without a period takes its look as well.
        found += max(len(chunk.periods), chunk.subscriptions)
        if found >= _PERIODS_ENOUGH:
            return done, [], chunk.more
    return done, [], False


def _written(done: _Progress, of: list[str]) -> str:
    totals = [[each.currency, each.periods, str(each.old), str(each.new)] for each in done.totals]
    body = [of, done.as_of.isoformat(), str(done.last), done.subscriptions, done.unrated, totals]
    return _SIGNER.sign_object(body, compress=True)


def _read(after: str, of: list[str]) -> _Progress:
    """Raises Problem 422 where no answer of this backtest has given it."""
    try:
        body: Any = _SIGNER.unsign_object(after)
    except signing.BadSignature:
        body = [None]
    if body[0] != of:
        raise unprocessable(("after", "it is not the next of an answer with this from and to"))
    _, as_of, last, subscriptions, unrated, totals = body
    return _Progress(
        datetime.fromisoformat(as_of),
        UUID(last),
        subscriptions,
        unrated,
        tuple(
            BacktestTotal(currency, periods, Decimal(old), Decimal(new))
            for currency, periods, old, new in totals
        ),
    )


def _shown_total(total: BacktestTotal) -> BacktestTotalOut:
    return BacktestTotalOut(
        currency=total.currency,
        periods=total.periods,
        old=total.old,
        new=total.new,
        difference=total.difference,
    )


def _shown(each: BacktestedPeriod) -> BacktestedPeriodOut:
    return BacktestedPeriodOut(
        customer_id=each.customer_id,
        customer_reference=each.reference,
        period_start=each.period.start,
        period_end=each.period.end,
        currency=each.currency,
        old=each.old,
        new=each.new,
        difference=each.difference,
        unrated=each.unrated,
    )
