"""Draft the invoices of billing periods that have ended."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.amounts import written_amount
from billing.models import Invoice
from billing.operations import UsageNotRolledUp, close_due, finalize_invoice
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope


class Command(BaseCommand):
    help = (
        "Draft an invoice for each ended billing period of a tenant that has none yet, and print "
        "one line for each. May run twice, and at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--as-of", metavar="ISO", help="close what ended by this instant; now if left out"
        )
        parser.add_argument(
            "--finalize",
            action="store_true",
            help="also give every draft of the tenant its number, oldest first",
        )

    def handle(
        self, *args: Any, tenant: str, as_of: str | None, finalize: bool, **options: Any
    ) -> None:
        now = timezone.now()
        ended_by = now if as_of is None else _past_instant(as_of, now)
        tenant_id = _tenant_id(tenant)
        roll_up(tenant_id)
        try:
            with tenant_scope(tenant_id):
                invoices = close_due(as_of=ended_by)
                if finalize:
                    invoices = [finalize_invoice(draft, as_of=now) for draft in _drafts()]
                lines = [_line(invoice) for invoice in invoices]
        except UsageNotRolledUp as pending:
            raise CommandError(f"nothing was closed: {pending}") from pending
        for line in lines:
            self.stdout.write(line)
        if not lines:
            self.stderr.write("nothing is due: no period has ended that is not closed already")


def _past_instant(text: str, now: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--as-of is not an ISO 8601 instant: {text!r}") from error
    if instant.tzinfo is None:
        raise CommandError(f"--as-of has no offset; {text}Z would be UTC")
    if instant > now:
        raise CommandError(f"--as-of lies in the future; now is {now:%Y-%m-%dT%H:%M:%SZ}")
    return instant


def _tenant_id(slug: str) -> UUID:
    with installation_scope():
        ids = dict(Tenant.objects.values_list("slug", "pk"))
    if slug not in ids:
        raise CommandError(f"no tenant {slug!r}; there are: {', '.join(sorted(ids)) or 'none'}")
    return ids[slug]


def _drafts() -> list[Invoice]:
    drafts = Invoice.objects.filter(status=Invoice.Status.DRAFT).select_related("customer")
    return list(drafts.order_by("period_start", "customer__name"))


def _line(invoice: Invoice) -> str:
    name = f"invoice {invoice.number}" if invoice.number else "draft"
    period = f"{invoice.period_start:%Y-%m-%d %H:%M} to {invoice.period_end:%Y-%m-%d %H:%M} UTC"
    total = written_amount(invoice.total, invoice.currency)
    return f"{name}: {invoice.customer.reference}, {period}, {total}"
