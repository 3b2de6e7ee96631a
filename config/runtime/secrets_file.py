"""Secrets are made once and kept in one file that only its owner reads; they are never logged."""

import secrets
from pathlib import Path

from config.runtime.failure import CannotRun
from config.runtime.home import write_private

GENERATED = (
    "SECRET_KEY",
    "HOSTMETER_POSTGRES_PASSWORD",
    "HOSTMETER_OWNER_PASSWORD",
    "HOSTMETER_APP_PASSWORD",
    "HOSTMETER_ADMIN_PASSWORD",
    "HOSTMETER_VALKEY_PASSWORD",
    "HOSTMETER_DEMO_PASSWORD",
)
LENGTHS_BYTES = {"SECRET_KEY": 48, "HOSTMETER_DEMO_PASSWORD": 12}


def parse(text: str) -> dict[str, str]:
    """NAME=value lines; empty lines and # comments are skipped. The value is taken as it stands."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def render(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def read(path: Path) -> dict[str, str]:
    try:
        return parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CannotRun(f"{path} cannot be read: {error.strerror}") from None


def new_secret(name: str) -> str:
    """URL-safe, so that it stands unquoted in a DSN, a shell line and a configuration file."""
    return secrets.token_urlsafe(LENGTHS_BYTES.get(name, 24))


def load_or_create(path: Path) -> dict[str, str]:
    """The secrets of this installation; missing ones are made, existing ones never change."""
    values = read(path)
    missing = [name for name in GENERATED if not values.get(name)]
    if missing:
        values |= {name: new_secret(name) for name in missing}
        write_private(path, "# Made once by `manage.py up`. Keep private.\n" + render(values))
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return values
