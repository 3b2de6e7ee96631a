"""Measure ingest or roll-up in a scratch database."""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError

from metering.bench.ingest import measure_ingest
from metering.bench.rollup import measure_rollup
from metering.bench.scratch import scratch_database
from metering.bench.together import BenchFailed


class Command(BaseCommand):
    help = "Measure ingest or roll-up in a scratch database that is dropped afterwards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["ingest", "rollup"])
        parser.add_argument(
            "--batches",
            type=int,
            default=1_000,
            metavar="N",
            help="batches of 1,000 samples (default: 1000)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object as the last line"
        )

    def handle(self, *args: Any, what: str, batches: int, **options: Any) -> None:
        if not 1 <= batches <= 100_000:
            raise CommandError("--batches takes 1 to 100000")
        measure = measure_ingest if what == "ingest" else measure_rollup
        try:
            with scratch_database():
                figures = measure(batches, self._note)
        except (BenchFailed, psycopg.Error, OSError) as error:
            raise CommandError(f"bench {what}: {error}".splitlines()[0]) from None
        members = dataclasses.asdict(figures)
        for name, value in members.items():
            self.stdout.write(f"{name.replace('_', ' '):28}{value:>14,}")
        if options["json"]:
            self.stdout.write(json.dumps(members))

    def _note(self, line: str) -> None:
        self.stderr.write(f"{line} …")
