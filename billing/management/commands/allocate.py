"""Post what is spread of hosts' idle and unattributed usage."""

from argparse import ArgumentParser
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.management.arguments import past_instant, tenant_id
from metering.allocating import allocate_tenant, retry_failures
from metering.allocation_rules import PAST_MAX, mark_hours, meters_with_rules
from tenants.command import OneLineCommand
from tenants.scope import tenant_scope

_PROGRESS_EVERY_S = 2.0


class Command(OneLineCommand):
    help = (
        "Spread hosts' idle and unattributed usage over the applications on them, by the tenant's "
        "allocation rules: of each hour (UTC) that is over for half an hour and has changed since "
        "it was last looked at, or could not be posted then, post the difference. May run twice, "
        "and at once; what is killed is done by the next run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        for name in ("from", "until"):
            parser.add_argument(
                f"--{name}",
                metavar="ISO",
                dest=name,
                help="look at the hours that begin in [from, until) once more, changed or not",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        self._told_at = monotonic()
        now = timezone.now()
        again = _hours(options["from"], options["until"], now)
        try:
            tenant = tenant_id(options["tenant"])
            self._prepare(tenant, again, options["tenant"])
            outcome = allocate_tenant(tenant, as_of=now, told=self._tell)
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        for failed in outcome.failures:
            self.stderr.write(f"failed: {failed}")
        self.stdout.write(f"{outcome.hours} hours looked at, {outcome.postings} postings made")
        if outcome.failures:
            raise CommandError(
                f"{len(outcome.failures)} failed; the rest is done. Mend what each says, or state "
                "a rule of none for the host, and run this again"
            )

    def _prepare(self, tenant: UUID, again: tuple[datetime, datetime] | None, slug: str) -> None:
        with tenant_scope(tenant):
            if not meters_with_rules():
                raise CommandError(
                    f"tenant {slug!r} has no allocation rule; state one in the admin"
                )
            retry_failures()
            if again is not None:
                mark_hours(*again)

    def _tell(self, progress: str) -> None:
        if monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = monotonic()
            self.stderr.write(progress)


def _hours(start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime] | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise CommandError("give both --from and --until, or neither")
    hours = past_instant("--from", start, now), past_instant("--until", end, now)
    if hours[0] >= hours[1]:
        raise CommandError("--until has to lie after --from")
    if hours[1] - hours[0] > PAST_MAX:
        raise CommandError(f"--from and --until lie over {PAST_MAX.days} days apart")
    return hours
