"""What a plan version would have charged for usage that was."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from billing.api.fields import Exact
from billing.api.plans import visible_version
from billing.core.periods import Period, PeriodEmpty
from billing.queries.backtest import BacktestedPeriod, backtest_totals, backtested_chunks
from tenants.api.caller import ApiRequest
from tenants.api.errors import unprocessable
from tenants.api.fields import Given, Instant, Taken
from tenants.api.resources import Resources

backtests = Resources()
_LENGTH_MAX: Final = timedelta(days=400)


class BacktestIn(Taken):
    """Billing periods that begin in [from, to) and have ended; those of fifty subscriptions an
    answer."""

    start: Annotated[Instant, Field(alias="from")]
    end: Annotated[Instant, Field(alias="to")]
    after: Annotated[UUID | None, Field(description="The `next` of the answer before.")] = None


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
    currency: str
    periods: int
    old: Exact
    new: Exact
    difference: Exact


class BacktestOut(Given):
    """`totals` are those of this answer. There is more if `next` is not null."""

    plan_version_id: UUID
    totals: list[BacktestTotalOut]
    periods: list[BacktestedPeriodOut]
    next: UUID | None


@backtests.computing(
    "/plan-versions/{uuid:version_id}/backtest",
    scope="backtests:run",
    answers=BacktestOut,
    summary="Rate past periods with a plan version, a draft too; nothing is written",
)
def backtest_a_version(request: ApiRequest, version_id: UUID, backtest: BacktestIn) -> BacktestOut:
    version = visible_version(request.caller, version_id)
    try:
        period = Period(backtest.start, backtest.end)
    except PeriodEmpty as error:
        raise unprocessable(("to", "it has to lie after from")) from error
    if period.end - period.start > _LENGTH_MAX:
        raise unprocessable(("to", f"at most {_LENGTH_MAX.days} days after from"))
    chunks = backtested_chunks(version, period, as_of=request.as_of, after=backtest.after)
    first = next(chunks, None)
    periods = [] if first is None else list(first.periods)
    rated = [each for each in periods if not each.unrated]
    return BacktestOut(
        plan_version_id=version.pk,
        totals=[
            BacktestTotalOut(
                currency=total.currency,
                periods=total.periods,
                old=total.old,
                new=total.new,
                difference=total.difference,
            )
            for total in backtest_totals(rated)
        ],
        periods=[_shown(each) for each in periods],
        next=None if first is None or not first.more else first.last,
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
