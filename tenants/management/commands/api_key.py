"""Print a fresh API key."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from tenants.command import OneLineCommand
from tenants.models import Customer, Tenant
from tenants.operations import ScopeNotForCustomer, UnknownScope, issue_api_key
from tenants.scope import installation_scope, tenant_scope
from tenants.scopes import SCOPES

_DAYS_MAX = 3_650


class Command(OneLineCommand):
    help = "Print a fresh API key, once: only its hash is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--name", default="command line", metavar="NAME", help="what uses it")
        parser.add_argument(
            "--scope",
            required=True,
            action="append",
            metavar="SCOPE",
            help=f"may be given several times; one of {', '.join(SCOPES)}",
        )
        parser.add_argument(
            "--customer", metavar="REFERENCE", help="let the key see this customer alone"
        )
        parser.add_argument("--days", type=int, metavar="N", help="let it expire after N days")

    def handle(
        self,
        *args: Any,
        tenant: str,
        name: str,
        scope: list[str],
        customer: str | None,
        days: int | None,
        **options: Any,
    ) -> None:
        if not 1 <= len(name) <= 120:
            raise CommandError("--name takes 1 to 120 characters")
        if days is not None and not 1 <= days <= _DAYS_MAX:
            raise CommandError(f"--days takes 1 to {_DAYS_MAX}")
        with installation_scope():
            slugs = {row.slug: row.id for row in Tenant.objects.all()}
        if tenant not in slugs:
            raise CommandError(f"no tenant {tenant!r}; there are: {', '.join(sorted(slugs))}")
        now = timezone.now()
        with tenant_scope(slugs[tenant]):
            owner = None if customer is None else _customer(customer)
            try:
                secret = issue_api_key(
                    name,
                    scope,
                    customer=owner,
                    expires_at=None if days is None else now + timedelta(days=days),
                    as_of=now,
                )
            except (UnknownScope, ScopeNotForCustomer) as refusal:
                raise CommandError(str(refusal)) from None
        self.stdout.write(secret)


def _customer(reference: str) -> Customer:
    found = Customer.objects.filter(reference=reference).first()
    if found is None:
        raise CommandError(f"no customer {reference!r}; the admin lists their references")
    return found
