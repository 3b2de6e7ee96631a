"""Bill late usage at once."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.amounts import written_amount
from billing.closing import Outcome, restate_now
from billing.management.arguments import tenant_id
from tenants.command import OneLineCommand
from tenants.models import Customer
from tenants.scope import tenant_scope

_PROGRESS_EVERY_S = 2.0


class Command(OneLineCommand):
    help = (
        "Issue the notes that late usage of a tenant's issued invoices comes to, without waiting "
        "until nothing more has come for an hour. Prints a line for each note, and why an invoice "
        "with late usage got none. May run twice, and at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--customer", metavar="REF", help="this customer's invoices only; all if left out"
        )

        parser.add_argument(
            "--refused",
            action="store_true",
            help="bill also what was refused because it came past your deadline",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._told_at = monotonic()
        try:
            tenant = tenant_id(options["tenant"])
            customer = _customer_id(tenant, options["customer"])
            outcome = restate_now(
                tenant,
                as_of=timezone.now(),
                wanted=lambda each: customer in {None, each.customer_id},
                told=self._tell,
                also_refused=options["refused"],
            )
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        self._report(outcome)

    def _tell(self, progress: str) -> None:
        if monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = monotonic()
            self.stderr.write(progress)

    def _report(self, outcome: Outcome) -> None:
        for note in outcome.invoices:
            amount = written_amount(note.gross, note.currency)
            self.stdout.write(f"{note}: {note.customer_reference}, {note.refers_to}, {amount}")
        for invoice, reason in outcome.unchanged:
            self.stderr.write(f"no note: {invoice.customer_reference}, {invoice}: {reason}")
        for failure in outcome.failures:
            self.stderr.write(f"failed: {failure}")
        if outcome.failures:
            raise CommandError(f"{len(outcome.failures)} failed; the others are done")
        if not outcome.invoices and not outcome.unchanged:
            self.stderr.write("nothing to restate: no usage of an issued invoice has changed since")


def _customer_id(tenant: UUID, reference: str | None) -> UUID | None:
    if reference is None:
        return None
    with tenant_scope(tenant):
        found = Customer.objects.filter(reference=reference).first()
    if found is None:
        raise CommandError(f"no customer {reference!r}; the admin lists their references")
    return found.pk
