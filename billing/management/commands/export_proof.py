"""Write the proof bundle of an issued invoice."""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, cast

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from billing.core.periods import Period
from billing.management.arguments import tenant_id
from billing.models import Invoice
from billing.proof.bundle import BundleTooLarge, NotIssued, export_proof
from billing.proof.verifier import build_verifier
from tenants.command import OneLineCommand
from tenants.scope import tenant_scope


class Command(OneLineCommand):
    help = (
        "Write the proof bundle of an issued invoice, from which `hostmeter verify` recomputes it "
        "without this server (docs/proof.md)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference", help="the invoice's number with its series")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--output", required=True, metavar="FILE", help="the bundle to write")
        parser.add_argument(
            "--with-samples",
            metavar="FROM/TO",
            help="also the samples of the UTC hours that this interval touches, ISO 8601",
        )
        parser.add_argument(
            "--verifier", metavar="FILE", help="also write the verifier, as one Python file"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        written = options["with_samples"]
        samples = None if written is None else _interval(written)
        try:
            with tenant_scope(tenant_id(options["tenant"])):
                invoice = _invoice(options["reference"])
                with _replaced(Path(options["output"])) as out:
                    export_proof(invoice, out, as_of=now, samples=samples)
            if options["verifier"]:
                with _replaced(Path(options["verifier"])) as out:
                    out.write(build_verifier())
        except (NotIssued, BundleTooLarge) as error:
            raise CommandError(str(error)) from error
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        self.stdout.write(options["output"])


def _invoice(reference: str) -> Invoice:
    issued = Invoice.objects.filter(number__isnull=False)
    # The series is free text: only the whole reference says which invoice it is.
    for invoice in issued.select_related("plan_version__plan", "customer", "refers_to"):
        if invoice.reference == reference:
            return invoice
    raise CommandError(f"no issued invoice {reference!r}")


def _interval(written: str) -> Period:
    parts = written.split("/")
    try:
        start, end = (datetime.fromisoformat(part) for part in parts)
    except ValueError as error:
        raise CommandError("--with-samples takes FROM/TO, two ISO 8601 instants") from error
    if start.tzinfo is None or end.tzinfo is None:
        raise CommandError("--with-samples has no offset; 2026-01-01T00:00Z is UTC")
    if end <= start:
        raise CommandError("--with-samples ends before it starts")
    return Period(start.astimezone(UTC), end.astimezone(UTC))


@contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    """A file that is there as a whole or, after a failure, not at all."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield cast(BinaryIO, file)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
