"""Write an issued invoice as a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.db.models import CharField, F
from django.db.models.functions import Cast, Concat

from billing.documents.document import InvoiceDocument
from billing.documents.en16931 import NoEInvoice
from billing.documents.files import FORMS, document_file
from billing.documents.loading import invoice_document
from billing.models import Invoice
from tenants.command import OneLineCommand
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope


class Command(OneLineCommand):
    help = (
        "Write an issued invoice or note of a tenant as PDF, electronic invoice, CSV, JSON, FOCUS."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference", metavar="REFERENCE", help="its number: INV-7")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--format", required=True, choices=sorted(FORMS), dest="form")
        parser.add_argument("--output", required=True, metavar="FILE", type=Path)

    def handle(self, *args: Any, reference: str, form: str, **options: Any) -> None:
        try:
            document = _document(options["tenant"], reference)
            content = document_file(document, form)
            options["output"].write_bytes(content)
        except NoEInvoice as missing:
            raise CommandError(f"{reference} has no {form}: {missing}") from missing
        except OSError as failure:
            raise CommandError(f"cannot write {options['output']}: {failure.strerror}") from failure
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        self.stdout.write(f"{options['output']}: {len(content):,} bytes")


def _document(slug: str, reference: str) -> InvoiceDocument:
    with installation_scope():
        ids = dict(Tenant.objects.values_list("slug", "pk"))
    if slug not in ids:
        raise CommandError(f"no tenant {slug!r}; there are: {', '.join(sorted(ids)) or 'none'}")
    with tenant_scope(ids[slug]):
        found = _issued(reference)
        if not found:
            raise CommandError(f"{slug} has issued no invoice {reference!r}")
        if len(found) > 1:
            raise CommandError(f"{reference!r} is the reference of invoices of two series")
        return invoice_document(found[0])


def _issued(reference: str) -> list[Invoice]:
    number = Cast(F("number"), output_field=CharField())
    issued = Invoice.objects.filter(number__isnull=False)
    return list(issued.annotate(written=Concat(F("series"), number)).filter(written=reference)[:2])
