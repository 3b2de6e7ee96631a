"""Write everything that a tenant has here as one archive."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseFailure

from billing.exporting import export_parts, write_archive, write_missing
from billing.management.arguments import tenant_id
from tenants.command import OneLineCommand


class Command(OneLineCommand):
    help = (
        "Write all tables and documents of a tenant as one ZIP archive, without any credential. "
        "One that was cut off goes on where it stopped when it is run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--output", required=True, metavar="FILE.zip", type=Path)

    def handle(self, *args: Any, tenant: str, output: Path, **options: Any) -> None:
        folder = output.with_name(f".{output.name}.parts")
        try:
            pk = tenant_id(tenant)
            folder.mkdir(mode=0o700, exist_ok=True)
            parts = export_parts(pk)
            for done in write_missing(folder, parts):
                self.stderr.write(f"{done} of {len(parts)}: {parts[done - 1].name}")
            size = write_archive(folder, parts, output)
        except OSError as failure:
            raise CommandError(f"cannot write {output}: {failure.strerror}") from failure
        except DatabaseFailure as failure:
            reason = str(failure).strip().splitlines()[0]
            raise CommandError(f"the database cannot be used: {reason}") from failure
        self.stdout.write(f"{output}: {size} bytes")
