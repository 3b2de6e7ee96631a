"""A scratch database beside the product's: made and migrated for one run, dropped at its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql

_URLS = ("DATABASE_URL", "APP_DATABASE_URL", "ADMIN_DATABASE_URL")


@contextmanager
def scratch_database() -> Iterator[None]:
    """Within it this process's connections, and the environment that it hands on, lead to the
    scratch database. Raises psycopg.Error when none can be made."""
    name = f"hostmeter_bench_{os.getpid()}"
    # The administrator's role is not needed, but named so that nothing is made up for it.
    before = {url: os.environ[url] for url in _URLS if url in os.environ}
    server = before["DATABASE_URL"]
    _execute(server, "CREATE DATABASE {}", name)
    try:
        os.environ.update({url: _in_database(value, name) for url, value in before.items()})
        with _connections_to(name):
            call_command("provision_database", verbosity=0)
            call_command("migrate", verbosity=0)
            yield
    finally:
        os.environ.update(before)
        # Every client has ended by now; the server waits for its own processes to follow.
        _execute(server, "DROP DATABASE {}", name)


@contextmanager
def _connections_to(name: str) -> Iterator[None]:
    before = {alias: connections[alias].settings_dict["NAME"] for alias in connections}
    connections.close_all()
    for alias in connections:
        connections[alias].settings_dict["NAME"] = name
    try:
        yield
    finally:
        connections.close_all()
        for alias, previous in before.items():
            connections[alias].settings_dict["NAME"] = previous


def _execute(server: str, statement: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _in_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
