"""Django's migrate, through the connection that owns the tables."""

from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands import migrate

from tenants.command import OneLineCommand
from tenants.migration_state import rendering_what_refers_to_a_change


class Command(OneLineCommand, migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        # Through "default" nothing could be created, and yet it would be recorded as applied.
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        with rendering_what_refers_to_a_change():
            super().handle(*args, **options)
