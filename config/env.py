"""Typed readers for environment variables: a wrong value stops the start with one clear line."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str | None = None) -> str:
    """The variable's value; without a default it has to be set."""
    value = os.environ.get(name, default)
    if value is None or (value == "" and default is None):
        raise ImproperlyConfigured(f"{name} is not set")
    return value


def flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}: use 1 or 0")


def whole_number(name: str, default: int, *, least: int, most: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or not least <= int(value) <= most:
        raise ImproperlyConfigured(f"{name} is {value!r}: use a whole number, {least} to {most}")
    return int(value)


def names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def folder(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default)


def mail_server(name: str) -> dict[str, object]:
    """The EMAIL_ settings of an smtp:// or smtps:// URL; none while it is not set.

    smtp:// speaks STARTTLS, unless it ends with ?tls=off; smtps:// speaks TLS from the start.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        return {"EMAIL_BACKEND": "tenants.mail_console.EmailBackend"}
    url = urlsplit(value)
    implicit = url.scheme == "smtps"
    tls = dict(parse_qsl(url.query)).get("tls", "on")
    if url.scheme not in {"smtp", "smtps"} or not url.hostname or tls not in {"on", "off"}:
        raise ImproperlyConfigured(
            f"{name} has to look like smtp://user:password@host:587 or smtps://user:password@host"
        )
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": url.hostname,
        "EMAIL_PORT": url.port or (465 if implicit else 587),
        "EMAIL_HOST_USER": unquote(url.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(url.password or ""),
        "EMAIL_USE_SSL": implicit,
        "EMAIL_USE_TLS": not implicit and tls == "on",
        "EMAIL_TIMEOUT": 20,
    }


def database(name: str, default: str) -> dict[str, object]:
    """A DATABASES entry from a postgresql:// URL; `?host=/folder` names a Unix socket's folder."""
    url = urlsplit(text(name, default))
    if url.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} has to start with postgresql://")
    options: dict[str, object] = dict(parse_qsl(url.query))
    host = options.pop("host", None) or unquote(url.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.lstrip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": host,
        "PORT": str(url.port or ""),
        "OPTIONS": options,
    }
