"""Prove that invoices are charged once, in a scratch database and with the fake Stripe."""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any, Final

import psycopg
from django.core.management.base import CommandError

from billing.bench.paying import measure_payments
from metering.bench.scratch import scratch_database
from metering.bench.together import BenchFailed
from tenants.command import OneLineCommand

PAYMENTS_MAX: Final = 100_000
SEED_MAX: Final = 1 << 31


class Command(OneLineCommand):
    help = (
        "Collect invoices from the fake Stripe in a scratch database that is dropped afterwards,"
        " while answers get lost, 500s stay and webhooks come twice, late, out of order and forged."
        " Fails unless each invoice is charged once and both sides' books agree."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--payments", type=int, default=10_000, metavar="N", help="how many (default: 10000)"
        )
        parser.add_argument(
            "--seed", type=int, default=1, metavar="N", help="what goes wrong where (default: 1)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object as the last line"
        )

    def handle(self, *args: Any, payments: int, seed: int, **options: Any) -> None:
        if not 1 <= payments <= PAYMENTS_MAX:
            raise CommandError(f"--payments takes 1 to {PAYMENTS_MAX}")
        if not 0 <= seed <= SEED_MAX:
            raise CommandError(f"--seed takes 0 to {SEED_MAX}")
        try:
            with scratch_database():
                figures = dataclasses.asdict(measure_payments(payments, seed, self._note))
        except (BenchFailed, psycopg.Error, OSError, RuntimeError) as error:
            raise CommandError(f"prove_payments: {error}".splitlines()[0]) from None
        for name, value in figures.items():
            self.stdout.write(f"{name.replace('_', ' '):<28}{value:>12,}")
        self.stdout.write("Each invoice was charged once, and the books agree.")
        if options["json"]:
            self.stdout.write(json.dumps(figures))

    def _note(self, line: str) -> None:
        self.stderr.write(f"{line} …")
