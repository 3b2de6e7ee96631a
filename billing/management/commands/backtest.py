"""Run a plan version, published or a draft, over usage that was."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.amounts import written_amount
from billing.core.periods import InstantOutOfRange, Period, PeriodEmpty
from billing.management.arguments import past_instant, tenant_id
from billing.models import PlanVersion
from billing.queries.backtest import (
    BacktestedPeriod,
    backtest_totals,
    backtested_periods,
    largest_movers,
)
from tenants.command import OneLineCommand
from tenants.scope import tenant_scope

_MOVERS_SHOWN = 20


class Command(OneLineCommand):
    help = (
        "Rate past billing periods with a plan version, a draft too, and with the terms of their "
        "day; print what would change for each customer. Nothing is written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("plan", help="the plan's name")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("number", type=int, help="the version's number")
        for name in ("from", "to"):
            parser.add_argument(
                f"--{name}", required=True, metavar="ISO", dest=name,
                help="billing periods that begin in [from, to) and have ended",
            )  # fmt: skip
        parser.add_argument(
            "--json", action="store_true", help="print every period, as one JSON object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        period = _period(options["from"], options["to"], now)
        try:
            with tenant_scope(tenant_id(options["tenant"])):
                version = _version(options["plan"], options["number"])
                found = list(backtested_periods(version, period, as_of=now))
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        if not found:
            self.stderr.write("no billing period of the plan begins there and has ended")
        if options["json"]:
            self.stdout.write(json.dumps({"periods": [_as_json(each) for each in found]}))
        else:
            self._report(found)

    def _report(self, found: list[BacktestedPeriod]) -> None:
        rated = [each for each in found if not each.unrated]
        for each in largest_movers(rated, _MOVERS_SHOWN):
            self.stdout.write(
                f"{each.reference}, {each.period.start:%Y-%m-%d}: "
                f"{_change(each.old, each.new, each.currency)}"
            )
        for total in backtest_totals(rated):
            self.stdout.write(
                f"in all, {total.periods} periods: {_change(total.old, total.new, total.currency)}"
            )
        for each in found:
            if each.unrated:
                self.stderr.write(f"not rated: {each.reference}: {each.unrated}")


def _change(old: Any, new: Any, currency: str) -> str:
    sign = "+" if new >= old else ""
    return (
        f"{written_amount(old, currency)} → {written_amount(new, currency)} "
        f"({sign}{written_amount(new - old, currency)})"
    )


def _as_json(each: BacktestedPeriod) -> dict[str, str]:
    return {
        "customer": each.reference,
        "period_start": each.period.start.isoformat(),
        "period_end": each.period.end.isoformat(),
        "currency": each.currency,
        "old": str(each.old),
        "new": str(each.new),
        "difference": str(each.difference),
        "unrated": each.unrated,
    }


def _period(start: str, end: str, now: datetime) -> Period:
    try:
        return Period(past_instant("--from", start, now), past_instant("--to", end, now))
    except PeriodEmpty as error:
        raise CommandError("--to has to lie after --from") from error
    except InstantOutOfRange as error:
        raise CommandError(str(error)) from error


def _version(plan: str, number: int) -> PlanVersion:
    version = (
        PlanVersion.objects.filter(plan__name=plan, number=number).select_related("plan").first()
    )
    if version is None:
        raise CommandError(f"no plan {plan!r} with a version {number}")
    return version
