"""Django's migrate, through the connection that owns the tables."""

from django.core.management.base import CommandParser
from django.core.management.commands import migrate

from tenants.command import OneLineCommand


class Command(OneLineCommand, migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        # Through "default" nothing could be created, and yet it would be recorded as applied.
        parser.set_defaults(database="owner")
