"""Measure ingest, roll-up or billing in a scratch database, documents, or the agent."""

import dataclasses
import json
import subprocess
from argparse import ArgumentParser
from argparse import _ArgumentGroup as ArgumentGroup
from importlib import import_module
from typing import Any

import psycopg
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from billing.bench.closing import measure_billing
from billing.bench.documents import measure_documents
from metering.bench.agent import Terms, measure_agent
from metering.bench.agent_accuracy import measure_cpu_error
from metering.bench.agent_faults import Plan, measure_faults
from metering.bench.agent_workload import Workload
from metering.bench.ingest import measure_ingest
from metering.bench.rollup import measure_rollup
from metering.bench.scratch import scratch_database
from metering.bench.together import BenchFailed
from portal.bench.pages import measure_pages
from tenants.command import OneLineCommand
from tenants.models import validate_time_zone

_BOUNDS = (
    ("processes", 1, 20_000),
    ("applications", 1, 100),
    ("active", 0, 100),
    ("scrapes", 1, 10_000),
    ("agent_kills", 0, 10_000),
    ("server_kills", 0, 10_000),
    ("answers_lost", 0, 90),
    ("customers", 1, 100_000),
    ("kills", 0, 100),
    ("previews", 1, 100_000),
    ("lines", 1, 100_000),
    ("owned", 1, 10_000),
    ("months", 2, 120),
    ("views", 1, 10_000),
    ("bound_ms", 1, 60_000),
)
_ToolFailed = subprocess.SubprocessError
_INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)


class Command(OneLineCommand):
    help = (
        "Measure ingest, roll-up, billing or pages in a scratch database that is dropped"
        " afterwards, or what the agent costs beside its peers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "what", choices=["ingest", "rollup", "billing", "documents", "portal", "agent"]
        )
        parser.add_argument(
            "--batches",
            type=int,
            default=1_000,
            metavar="N",
            help="ingest, rollup: batches of 1,000 samples (default: 1000)",
        )
        parser.add_argument(
            "--lines", type=int, default=3_000, metavar="N",
            help="documents: lines of the invoice (default: 3000)",
        )  # fmt: skip
        self._portal_arguments(parser.add_argument_group("portal"))
        self._billing_arguments(parser.add_argument_group("billing"))
        self._agent_arguments(parser.add_argument_group("agent"))
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object as the last line"
        )

    def _portal_arguments(self, portal: ArgumentGroup) -> None:
        for name, default, meaning in (
            ("owned", 1_000, "applications of the customer"),
            ("months", 36, "months that it was invoiced for"),
            ("views", 30, "times that each page is asked for"),
            ("bound-ms", 200, "fail where the 95th percentile of a page takes longer"),
        ):
            portal.add_argument(
                f"--{name}", type=int, default=default, metavar="N",
                help=f"{meaning} (default: {default})",
            )  # fmt: skip
        portal.add_argument(
            "--time-zone", default="UTC", metavar="ZONE", help="the customer's (default: UTC)"
        )

    def _billing_arguments(self, billing: ArgumentGroup) -> None:
        for name, default, meaning in (
            ("customers", 10_000, "customers, each with 5 applications, 30 days and 12 meters"),
            ("kills", 0, "kill -9 all workers so many times, evenly spread over the run"),
            ("previews", 300, "upcoming invoices to ask for"),
        ):
            billing.add_argument(
                f"--{name}", type=int, default=default, metavar="N",
                help=f"{meaning} (default: {default})",
            )  # fmt: skip

    def _agent_arguments(self, agent: ArgumentGroup) -> None:
        for name, default, meaning in (
            ("processes", 500, "processes to look at"),
            ("applications", 50, "applications that they belong to"),
            ("active", 10, "of a hundred processes, how many do something each second"),
            ("scrapes", 12, "scrapes to measure"),
        ):
            agent.add_argument(
                f"--{name}", type=int, default=default, metavar="N",
                help=f"{meaning} (default: {default})",
            )  # fmt: skip
        agent.add_argument(
            "--interval", type=int, default=10, choices=_INTERVALS, metavar="SECONDS",
            help="between two scrapes (default: 10)",
        )  # fmt: skip
        agent.add_argument(
            "--peers", action="store_true",
            help="install netdata's apps.plugin, collectd and prometheus-process-exporter from"
            " Debian's packages, and measure them beside it",
        )  # fmt: skip
        for name, meaning in (
            ("network", "also transactions and bytes by eBPF, and its cost per packet"),
            ("intercept", "also what the intercepting library costs"),
            ("faults", "instead: kill agent and server and lose answers; needs the database"),
        ):
            agent.add_argument(f"--{name}", action="store_true", help=meaning)
        for name, default, meaning in (
            ("agent-kills", 100, "of the agent"),
            ("server-kills", 50, "of the web server"),
            ("answers-lost", 20, "percent of the server's answers that are lost"),
        ):
            agent.add_argument(
                f"--{name}", type=int, default=default, metavar="N",
                help=f"--faults: {'kill -9 ' if default != 20 else ''}{meaning}"
                f" (default: {default})",
            )  # fmt: skip

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        try:
            members = self._agent(options) if what == "agent" else self._database(what, options)
        except (BenchFailed, psycopg.Error, OSError, RuntimeError, _ToolFailed) as error:
            raise CommandError(f"bench {what}: {error}".splitlines()[0]) from None
        self._print(members)
        if options["json"]:
            self.stdout.write(json.dumps(members))

    def _database(self, what: str, options: dict[str, Any]) -> dict[str, Any]:
        if what == "billing":
            return self._billing(options)
        if what == "documents":
            self._require_bounds(options)
            return dataclasses.asdict(measure_documents(options["lines"], self._note))
        if what == "portal":
            return self._portal(options)
        batches = options["batches"]
        if not 1 <= batches <= 100_000:
            raise CommandError("--batches takes 1 to 100000")
        measure = measure_ingest if what == "ingest" else measure_rollup
        with scratch_database():
            return dataclasses.asdict(measure(batches, self._note))

    def _billing(self, options: dict[str, Any]) -> dict[str, Any]:
        self._require_bounds(options)
        customers, kills, previews = (options[name] for name in ("customers", "kills", "previews"))
        with scratch_database():
            return dataclasses.asdict(measure_billing(customers, kills, previews, self._note))

    def _portal(self, options: dict[str, Any]) -> dict[str, Any]:
        self._require_bounds(options)
        owned, months, views = (options[name] for name in ("owned", "months", "views"))
        time_zone = options["time_zone"]
        try:
            validate_time_zone(time_zone)
        except ValidationError as error:
            raise CommandError(f"--time-zone: {error.message}") from error
        with scratch_database():
            pages = measure_pages(owned, months, views, time_zone, self._note)
        members: dict[str, Any] = {}
        for page in pages:
            members |= {
                f"{page.name}: median ms": page.median_ms,
                f"{page.name}: p95 ms": page.p95_ms,
                f"{page.name}: queries": page.queries,
            }
        slow = [page.name for page in pages if page.p95_ms > options["bound_ms"]]
        if slow:
            self._print(members)
            raise BenchFailed(f"slower than {options['bound_ms']} ms: {', '.join(slow)}")
        return members

    def _require_bounds(self, options: dict[str, Any]) -> None:
        for name, low, high in _BOUNDS:
            if not low <= options[name] <= high:
                raise CommandError(f"--{name.replace('_', '-')} takes {low} to {high}")

    def _agent(self, options: dict[str, Any]) -> dict[str, Any]:
        self._require_bounds(options)
        if options["faults"]:
            with scratch_database():
                return dataclasses.asdict(measure_faults(_plan(options), self._note))
        workload = Workload(options["processes"], options["applications"], options["active"])
        terms = Terms(workload, options["scrapes"], options["interval"], options["peers"])
        members = dict(measure_agent(terms, self._note))
        error = measure_cpu_error(self._note)
        if error is not None:
            members |= dataclasses.asdict(error)
        return members | self._parts(options)

    def _parts(self, options: dict[str, Any]) -> dict[str, Any]:
        """What is measured only when asked for, and needs more of the machine."""
        members: dict[str, Any] = {}
        if options["network"]:
            network = import_module("metering.bench.agent_network")
            members |= network.network_figures(self._note)
        if options["intercept"]:
            intercept = import_module("metering.bench.agent_intercept")
            self._note("measuring the intercepting library with wrk and nginx")
            for name, figures in intercept.intercept_figures().items():
                members |= figures.as_json(name)
        return members

    def _print(self, members: dict[str, Any]) -> None:
        for name, value in members.items():
            if name == "peers":
                for peer, cost in value.items():
                    for figure, number in cost.items():
                        self.stdout.write(f"{f'{peer}: {_words(figure)}':48}{number:>14,}")
            else:
                self.stdout.write(f"{_words(name):48}{_shown(value):>14}")

    def _note(self, line: str) -> None:
        self.stderr.write(f"{line} …")


def _plan(options: dict[str, Any]) -> Plan:
    return Plan(options["agent_kills"], options["server_kills"], options["answers_lost"])


def _shown(value: Any) -> str:
    """A number; of a pair the one without what is measured and the one with it."""
    return " → ".join(map(_shown, value)) if isinstance(value, tuple) else f"{value:,}"


def _words(name: str) -> str:
    return name.replace("_", " ")
