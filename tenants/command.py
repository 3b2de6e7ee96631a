"""What this product's commands for manage.py are made of."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants.authorship import acting


class OneLineCommand(BaseCommand):
    """Says in one line which argument is wrong; --help has all of them."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.print_usage = lambda file=None: None  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        with acting(f"manage.py {type(self).__module__.rpartition('.')[2]}"):
            return super().execute(*args, **options)
