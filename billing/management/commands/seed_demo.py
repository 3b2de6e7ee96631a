"""Put the demo into a new installation."""

import json
import os
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.utils import timezone

from billing.demo.scenery import LIVE_ENVIRONMENT, TENANTS
from billing.demo.seeding import GENERATED_DAYS, seed_demo
from tenants.command import OneLineCommand

_PASSWORD = "HOSTMETER_DEMO_PASSWORD"  # noqa: S105 the variable's name
_PASSWORD_LENGTH_MIN = 8


class Command(OneLineCommand):
    help = (
        f"Add two tenants and four customers with {GENERATED_DAYS} days of generated usage, "
        f"unless they are there. Their users' password is read from {_PASSWORD}."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="end with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get(_PASSWORD, "")
        if len(password) < _PASSWORD_LENGTH_MIN:
            raise CommandError(f"set {_PASSWORD} to at least {_PASSWORD_LENGTH_MIN} characters")
        users = seed_demo(password, as_of=timezone.now())
        # So much at once: until the database has looked at it, it plans as for a handful of rows.
        with connections["owner"].cursor() as cursor:
            cursor.execute("ANALYZE")
        live = next(demo for demo in TENANTS if demo.live)
        if not options["json"]:
            for user in users:
                self.stdout.write(f"{user.name}: {user.role}, {user.tenant or 'all tenants'}")
            return
        seeded = {
            "users": [asdict(user) for user in users],
            "tenant": live.slug,
            "environment": LIVE_ENVIRONMENT,
        }
        self.stdout.write(json.dumps(seeded))
