"""How near applications come to the limits of a policy's version, and what is over them.

It is worked out from rollups whenever it is asked for: the same for a draft against last month as
for what holds now. Every query runs inside a tenant's scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection, transaction

from metering.assignments import running
from metering.core.limit_use import MEASURES, Use
from metering.models import UNATTRIBUTED, Application, Assignment, Host
from metering.sql import statement
from tenants.core.policies import matches, may_run
from tenants.models import Environment
from tenants.policy_models import PolicyVersion

DAYS_MAX: Final = 31
_SECONDS_MAX: Final = 20


class TooMuchUsage(Exception):
    """The database would take longer than a page may."""

    def __init__(self) -> None:
        super().__init__(
            f"that is more usage than can be looked through in {_SECONDS_MAX} s; choose fewer days"
        )


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One application's use of one limit, on a host or ("": users) on all together. `limit` is
    None where the version has none for the term."""

    term: str
    application: str
    environment: str
    host: str
    limit: int | None
    use: Use

    @property
    def is_over(self) -> bool:
        return self.use.over > 0

    @property
    def time_over(self) -> timedelta:
        return timedelta(minutes=5) * self.use.over

    @property
    def peak_permille(self) -> int | None:
        """The peak in thousandths of the limit."""
        return None if self.limit is None else self.use.peak * 1_000 // self.limit


@dataclass(frozen=True, slots=True)
class Denied:
    """An application that runs although the version, or its environment, does not let it."""

    application_id: UUID
    application: str
    environment: str
    customer: str
    by: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """What [start, end) looks like under a version: uses, what is most over first, and what ran
    against the rules. `crowded`: environments with more hosts or applications than they may have.
    """

    start: datetime
    end: datetime
    uses: tuple[LimitUse, ...]
    denied: tuple[Denied, ...]
    crowded: tuple[str, ...]

    @property
    def over(self) -> tuple[LimitUse, ...]:
        return tuple(use for use in self.uses if use.is_over)


def simulate(
    version: PolicyVersion, start: datetime, end: datetime, *, as_of: datetime
) -> Simulation:
    """The version against the usage of [start, end), at most DAYS_MAX days, of the environments
    that carry its policy. Raises TooMuchUsage."""
    if not timedelta(0) < end - start <= timedelta(days=DAYS_MAX, hours=1):
        raise ValueError(f"choose from 1 to {DAYS_MAX} days")
    environments = list(Environment.objects.filter(policy=version.policy_id))
    applications = {
        application.pk: application
        for application in Application.objects.select_related("environment").filter(
            environment__in=environments
        )
    }
    # What no program is has no limit either.
    judged = [pk for pk, each in applications.items() if each.name != UNATTRIBUTED]
    rows = _rows(judged, start, end, version)
    found = _uses(rows, applications, version)
    ran = {row[0] for row in rows}
    return Simulation(
        start=start,
        end=end,
        uses=tuple(found),
        denied=tuple(denials([applications[pk] for pk in ran], version, as_of)),
        crowded=tuple(_crowded(environments, applications)),
    )


def _rows(
    applications: Sequence[UUID], start: datetime, end: datetime, version: PolicyVersion
) -> list[tuple[Any, ...]]:
    parameters = {
        "applications": list(applications),
        "start": start,
        "end": end,
        **{term: getattr(version, term) for term in MEASURES},
    }
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {int(_SECONDS_MAX * 1_000)}")
            cursor.execute(statement("limit_use"), parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return rows
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TooMuchUsage from error
        raise


def _uses(
    rows: Sequence[tuple[Any, ...]],
    applications: Mapping[UUID, Application],
    version: PolicyVersion,
) -> list[LimitUse]:
    hosts = dict(
        Host.objects.filter(pk__in={row[1] for row in rows if row[1]}).values_list("pk", "name")
    )
    found = []
    for application_id, host_id, *figures in rows:
        application = applications[application_id]
        for position, term in enumerate(MEASURES):
            peak, mean, buckets, over = figures[position * 4 : position * 4 + 4]
            if not buckets:
                continue
            found.append(
                LimitUse(
                    term=term,
                    application=application.name,
                    environment=application.environment.name,
                    host=hosts.get(host_id, ""),
                    limit=getattr(version, term),
                    use=Use(int(peak), int(mean), buckets, over),
                )
            )
    terms = list(MEASURES)
    return sorted(
        found,
        key=lambda each: (
            -each.use.over, -(each.peak_permille or 0), terms.index(each.term),
            each.application, each.host,
        ),
    )  # fmt: skip


def denials(
    applications: Sequence[Application], version: PolicyVersion, as_of: datetime
) -> list[Denied]:
    """Which of some applications, read with environment, may not run where they are."""
    billed = dict(
        Assignment.objects.filter(running(as_of), application__in=applications).values_list(
            "application", "customer__reference"
        )
    )
    found = []
    for application in applications:
        environment, customer = application.environment, billed.get(application.pk, "")
        patterns = environment.application_patterns
        if patterns and not any(matches(pattern, application.name) for pattern in patterns):
            by = "its environment"
        elif not may_run(
            version.parsed_rules,
            application=application.name,
            environment=environment.name,
            customer=customer,
        ):
            by = "a rule"
        else:
            continue
        found.append(Denied(application.pk, application.name, environment.name, customer, by))
    return sorted(found, key=lambda each: (each.environment, each.application))


def _crowded(
    environments: Sequence[Environment], applications: Mapping[UUID, Application]
) -> list[str]:
    words = []
    for environment in environments:
        here = sum(each.environment_id == environment.pk for each in applications.values())
        if environment.applications_max is not None and here > environment.applications_max:
            words.append(
                f"{environment} has {here} applications of at most {environment.applications_max}"
            )
        hosts = Host.objects.filter(environment=environment, retired_at__isnull=True).count()
        if environment.hosts_max is not None and hosts > environment.hosts_max:
            words.append(f"{environment} has {hosts} hosts of at most {environment.hosts_max}")
    return words
