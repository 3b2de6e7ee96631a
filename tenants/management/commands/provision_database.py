"""Create the database roles that the application and its administrator connect with."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.core.management.base import CommandError
from psycopg import sql

from tenants.command import OneLineCommand


class Command(OneLineCommand):
    help = (
        "Create or update the roles of APP_DATABASE_URL (sees one tenant at a time) and "
        "ADMIN_DATABASE_URL (sees all), through DATABASE_URL. May run twice."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with psycopg.connect(_required("DATABASE_URL"), connect_timeout=10) as connection:
                _provision_app(connection, _required("APP_DATABASE_URL"))
                if url := os.environ.get("ADMIN_DATABASE_URL"):
                    _provision_admin(connection, url)
        except psycopg.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(
                f"the role in DATABASE_URL cannot provision the database: {reason}; "
                "it has to own the database and be allowed to create roles"
            ) from error


def _required(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise CommandError(f"{name} is not set")
    return value


def _role_and_password(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def _ensure_role(
    connection: "psycopg.Connection[Any]", url: str, attributes: str
) -> sql.Identifier:
    """A role that exists and lets `url` in already is left as it is."""
    name, password = _role_and_password(url)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    if known is None:
        statement = "CREATE ROLE {} LOGIN " + attributes + " PASSWORD {}"
    elif _lets_in(url):
        return sql.Identifier(name)
    else:
        statement = "ALTER ROLE {} LOGIN PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(password)))
    return sql.Identifier(name)


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def _provision_app(connection: "psycopg.Connection[Any]", url: str) -> None:
    role = _ensure_role(connection, url, "NOBYPASSRLS")
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {}",
    ):
        connection.execute(sql.SQL(statement).format(role))
    _grant_on_existing(connection, role, "SELECT, INSERT, UPDATE, DELETE")


def _provision_admin(connection: "psycopg.Connection[Any]", url: str) -> None:
    role = _ensure_role(connection, url, "BYPASSRLS")
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}",
    ):
        connection.execute(sql.SQL(statement).format(role))
    _grant_on_existing(connection, role, "SELECT")


def _grant_on_existing(
    connection: "psycopg.Connection[Any]", role: sql.Identifier, privileges: str
) -> None:
    """Grant on what stands already. Partitions are left out: a query that names one directly
    would pass its parent's policy by."""
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'p', 'v') AND NOT relispartition"
    ).fetchall()
    for (name,) in rows:
        connection.execute(
            sql.SQL("GRANT " + privileges + " ON {} TO {}").format(sql.Identifier(name), role)
        )
