"""Draft the invoices of billing periods that have ended."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.amounts import written_amount
from billing.closing import Outcome, close_tenant, finalize_drafts
from billing.management.arguments import past_instant, tenant_id
from billing.models import Invoice
from tenants.command import OneLineCommand


class Command(OneLineCommand):
    help = (
        "Draft an invoice for each ended billing period of a tenant that has none yet, and print "
        "one line for each. One that fails is reported and holds no other back. May run twice, "
        "and at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--as-of", metavar="ISO", help="close what ended by this instant; now if left out"
        )
        parser.add_argument(
            "--finalize",
            action="store_true",
            help="also give the tenant's drafts their numbers, oldest first",
        )
        parser.add_argument(
            "--incomplete",
            action="store_true",
            help="with --finalize: also drafts whose hosts are silent or have not delivered their "
            "usage to the period's end",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        written = options["as_of"]
        ended_by = now if written is None else past_instant("--as-of", written, now)
        try:
            tenant = tenant_id(options["tenant"])
            outcome = close_tenant(tenant, as_of=ended_by)
            if options["finalize"]:
                failed = outcome.failures
                outcome = finalize_drafts(tenant, as_of=now, also_incomplete=options["incomplete"])
                outcome.failures[:0] = failed
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        for invoice in outcome.invoices:
            self.stdout.write(_line(invoice))
        for draft in outcome.incomplete:
            self.stderr.write(
                f"{_line(draft)}: stays a draft, its usage is not known to the period's end "
                "(--incomplete finalizes it all the same)"
            )
        for failure in outcome.failures:
            self.stderr.write(f"failed: {failure}")
        if outcome.failures:
            raise CommandError(f"{len(outcome.failures)} failed; what else was due is done")
        if not outcome.invoices and not outcome.incomplete:
            self.stderr.write("nothing is due: no period has ended that is not closed already")


def _line(invoice: Invoice) -> str:
    name = f"invoice {invoice.reference}" if invoice.number else "draft"
    period = f"{invoice.period_start:%Y-%m-%d %H:%M} to {invoice.period_end:%Y-%m-%d %H:%M} UTC"
    total = written_amount(invoice.total, invoice.currency)
    return f"{name}: {invoice.customer_reference}, {period}, {total}"
