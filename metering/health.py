"""How a tenant's agents are, for the admin's first page. All of it runs inside a tenant's scope."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Sum

from metering.breach_models import PolicyBreach
from metering.control_models import AppliedState
from metering.models import DirtyBucket, Host
from metering.policy_state import environments_too_old
from metering.queries import HOST_SILENT_AFTER
from metering.rollup_models import HourRollup
from metering.stated_models import AllocationFailure
from metering.watch_models import HostNotice

# Up to these lags, in words; the last column holds what is beyond and what has never delivered.
LAGS: Final = (
    (timedelta(seconds=30), "30 s"),
    (timedelta(minutes=1), "1 min"),
    (timedelta(minutes=5), "5 min"),
    (timedelta(minutes=30), "30 min"),
    (timedelta(hours=6), "6 h"),
    (timedelta.max, "more"),
)
SKEW_MAX_MS: Final = 2_000
_PPM: Final = 1_000_000
_BACKLOG_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class AgentsHealth:
    """Of hosts in service. `lags` counts them by LAGS; `versions` by what agents say they are, the
    most common first; `complaining` say that they could not do all that was wanted."""

    hosts: int
    silent: int
    lags: Sequence[int]
    skewed: int
    skew_max_ms: int
    versions: Sequence[tuple[str, int]]
    complaining: int


@dataclass(frozen=True, slots=True)
class Faults:
    """What metering knows to be wrong. `covered_ppm` is of the last day, None without usage."""

    covered_ppm: int | None
    allocation_failures: int
    waiting_buckets: int


@dataclass(frozen=True, slots=True)
class RulesHealth:
    """What of the policies does not hold now: limits that are passed, and hosts and environments
    that are older than the minimum whose time is over."""

    breaches: int
    outdated_hosts: int
    outdated_environments: int


def rules_health(*, as_of: datetime) -> RulesHealth:
    outdated = HostNotice.objects.filter(kind=HostNotice.Kind.OUTDATED, over_at=None)
    environments = environments_too_old(as_of=as_of)
    return RulesHealth(
        breaches=PolicyBreach.objects.filter(standing=True).count(),
        outdated_hosts=outdated.count(),
        outdated_environments=sum(each.by is None or each.by <= as_of for each in environments),
    )


def agents_health(*, as_of: datetime) -> AgentsHealth:
    hosts = Host.objects.filter(retired_at__isnull=True, generated=False).values_list(
        "last_window_end", "last_seen_at", "enrolled_at", "clock_skew_ms",
        "environment__policy__host_silent_after_seconds",
    )  # fmt: skip
    lags, skews = [0] * len(LAGS), [0]
    silent = 0
    for end, seen, enrolled, skew, silent_after in hosts:
        lags[_lag_column(None if end is None else as_of - end)] += 1
        skews.append(abs(skew or 0))
        allowed = HOST_SILENT_AFTER if silent_after is None else timedelta(seconds=silent_after)
        silent += as_of - (seen or enrolled) > allowed
    states = list(
        AppliedState.objects.filter(host__retired_at__isnull=True, host__generated=False)
        .values_list("agent_version", "errors", "refused")
    )  # fmt: skip
    versions: Mapping[str, int] = Counter(version for version, *_ in states)
    return AgentsHealth(
        hosts=sum(lags),
        silent=silent,
        lags=lags,
        skewed=sum(skew > SKEW_MAX_MS for skew in skews),
        skew_max_ms=max(skews),
        versions=sorted(versions.items(), key=lambda each: (-each[1], each[0])),
        complaining=sum(bool(errors) or refused for _, errors, refused in states),
    )


def faults(*, as_of: datetime) -> Faults:
    day = HourRollup.objects.filter(bucket_start__gte=as_of - timedelta(days=1))
    measured = day.aggregate(window=Sum("window_us"), covered=Sum("covered_us"))
    window = int(measured["window"] or 0)
    return Faults(
        covered_ppm=int(measured["covered"] or 0) * _PPM // window if window else None,
        allocation_failures=AllocationFailure.objects.count(),
        waiting_buckets=len(DirtyBucket.objects.values_list("id")[:_BACKLOG_MAX]),
    )


def _lag_column(lag: timedelta | None) -> int:
    if lag is None:
        return len(LAGS) - 1
    return next(column for column, (up_to, _) in enumerate(LAGS) if lag <= up_to)
