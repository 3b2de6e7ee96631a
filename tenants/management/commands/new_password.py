"""Give a person a new password."""

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.command import OneLineCommand
from tenants.models import User


class Command(OneLineCommand):
    help = "Give a person a fresh password, print it, and end their sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"nobody has the e-mail {email!r}")
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
        self.stdout.write(password)
