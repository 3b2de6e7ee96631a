"""What periods come to, by what is agreed and the usage that is known."""

from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from django.db import DatabaseError

from billing.billable import Wanted, billable_usage, expected_time_of_many
from billing.core.contract import Contract, credited_spans, priced_spans, rated_contract
from billing.core.gap_credit import ExpectedTime
from billing.core.periods import Period
from billing.core.rating import PriceSpec, RatedInvoice, UsageQuantity
from billing.line_copy import Line
from billing.models import PlanVersion, Subscription
from billing.queries.agreed import Agreed
from billing.queries.contracts import contract_of

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def rated_period(
    subscription: Subscription,
    period: Period,
    *,
    version: PlanVersion | None = None,
    late: Sequence[Line] = (),
) -> RatedInvoice:
    """What a period comes to, with the usage that is known.

    This, and rated_periods, which does the same for many, is the one way in which a period is
    rated, whoever asks: closing, the look for changes, and a backtest, which gives the `version`
    (a draft, too) that all of the period is rated with in place of the plan's own. `late` is as
    contract_of takes it. Raises what contract_of raises.
    """
    contract = contract_of(subscription, period, version=version, late=late)
    return rated_by(contract, subscription)


def rated_by(contract: Contract, subscription: Subscription) -> RatedInvoice:
    """What the contract of a subscription's period comes to, with the usage that is known."""
    (usage,) = usage_of_contracts([(subscription, contract)])
    (time,) = time_of_contracts([(subscription, contract)])
    return rated_contract(contract, usage, time)


def rated_periods(
    periods: Sequence[tuple[Subscription, Period]],
    agreed: Agreed,
    *,
    version: PlanVersion | None = None,
) -> list[RatedInvoice | Exception]:
    """As rated_period, of many subscriptions by what is agreed with them, in as many queries as for
    one. What keeps one of them from being rated stands in its place."""
    contracts = [
        _tried(contract_of, subscription, period, agreed=agreed, version=version)
        for subscription, period in periods
    ]
    known = [
        (subscription, contract)
        for (subscription, _), contract in zip(periods, contracts, strict=True)
        if isinstance(contract, Contract)
    ]
    usage, time = iter(usage_of_contracts(known)), iter(time_of_contracts(known))
    return [
        _tried(rated_contract, contract, next(usage), next(time))
        if isinstance(contract, Contract)
        else contract
        for contract in contracts
    ]


def _tried(
    work: Callable[_Arguments, _Result], *args: _Arguments.args, **options: _Arguments.kwargs
) -> _Result | Exception:
    try:
        return work(*args, **options)
    except DatabaseError:
        # The transaction is lost with it.
        raise
    except Exception as error:  # noqa: BLE001 whatever it is, the others are rated
        return error


def usage_of_contracts(
    contracts: Sequence[tuple[Subscription, Contract]],
) -> list[dict[Period, list[UsageQuantity]]]:
    """The usage that each contract is rated with."""
    wanted, places = [], []
    for place, (subscription, contract) in enumerate(contracts):
        for span, prices in prices_by_span(contract).items():
            wanted.append(Wanted(subscription.customer_id, span, prices))
            places.append(place)
    found: list[dict[Period, list[UsageQuantity]]] = [{} for _ in contracts]
    for place, each, used in zip(places, wanted, billable_usage(wanted), strict=True):
        found[place][each.period] = used
    return found


def time_of_contracts(
    contracts: Sequence[tuple[Subscription, Contract]],
) -> list[dict[Period, ExpectedTime]]:
    """The time in which usage was expected, where it decides what is given back of fees."""
    wanted, places = [], []
    for place, (subscription, contract) in enumerate(contracts):
        for span in credited_spans(contract):
            wanted.append((subscription.customer_id, span))
            places.append(place)
    found: list[dict[Period, ExpectedTime]] = [{} for _ in contracts]
    for place, (_, span), time in zip(places, wanted, expected_time_of_many(wanted), strict=True):
        found[place][span] = time
    return found


def prices_by_span(contract: Contract) -> Mapping[Period, list[PriceSpec]]:
    """Which usage has to be read: mostly that of the whole period."""
    wanted: dict[Period, list[PriceSpec]] = {}
    for each in priced_spans(contract):
        if each.full.reading is not None:
            wanted.setdefault(each.span, []).append(each.full)
    return wanted
