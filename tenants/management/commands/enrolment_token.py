"""Print a fresh enrolment token."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from tenants.command import OneLineCommand
from tenants.models import Environment, Tenant
from tenants.operations import issue_enrolment_token
from tenants.scope import installation_scope, tenant_scope


class Command(OneLineCommand):
    help = "Print a fresh token with which one host can enrol within an hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--environment", metavar="NAME", help="if left out, the first real one")

    def handle(self, *args: Any, tenant: str, environment: str | None, **options: Any) -> None:
        with installation_scope():
            slugs = {row.slug: row.id for row in Tenant.objects.all()}
        if tenant not in slugs:
            raise CommandError(f"no tenant {tenant!r}; there are: {', '.join(sorted(slugs))}")
        with tenant_scope(slugs[tenant]):
            environments = list(Environment.objects.order_by("created_at", "name"))
            # The demo's own environment is the last choice: no real host belongs there.
            environments.sort(key=lambda each: each.generated)
            chosen = next((e for e in environments if environment in {None, e.name}), None)
            if chosen is None:
                names = ", ".join(e.name for e in environments) or "none yet, add one in the admin"
                raise CommandError(f"no environment {environment!r}; there are: {names}")
            self.stdout.write(issue_enrolment_token(chosen, as_of=timezone.now()))
