"""Compare the ledger with what it is made from."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from billing.queries.reconciliation import Reconciliation
from tenants.command import OneLineCommand
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope


class Command(OneLineCommand):
    help = (
        "Compare every issued document, payment, grant and wallet with the ledger, and see that "
        "the ledger sums to zero. Prints each difference in one line and fails if there is any. "
        "Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="this tenant only; all if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            differing = sum(self._reconcile(tenant) for tenant in _tenants(options["tenant"]))
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        if differing:
            raise CommandError(f"{differing} differences")

    def _reconcile(self, tenant: Tenant) -> int:
        reconciliation, differing = Reconciliation.begin(), 0
        with _one_snapshot(), tenant_scope(tenant.pk):
            for difference in reconciliation.differences():
                differing += 1
                self.stdout.write(f"{tenant.slug}: {difference}")
        if not differing:
            compared = [f"{count} {name}" for name, count in reconciliation.compared.items()]
            self.stdout.write(f"{tenant.slug}: {', '.join(compared)}: no difference")
        return differing


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """What is issued or paid meanwhile is seen whole or not at all."""
    inside_another = connection.in_atomic_block
    with transaction.atomic():
        if not inside_another:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _tenants(slug: str | None) -> list[Tenant]:
    with installation_scope():
        tenants = list(Tenant.objects.order_by("slug"))
    if slug is None:
        return tenants
    chosen = [tenant for tenant in tenants if tenant.slug == slug]
    if not chosen:
        known = ", ".join(tenant.slug for tenant in tenants) or "none"
        raise CommandError(f"no tenant {slug!r}; there are: {known}")
    return chosen
