"""The suite runs as the application does: as a role that owns nothing and sees one tenant."""

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from pytest_django import DjangoDbBlocker

from config.runtime.valkey import THROWAWAY_PROCESSES_MAX
from config.translations import compile_translations
from tenants.models import Environment, Tenant
from tenants.scope import installation_scope, tenant_scope

# Before any test asks for a language: Django reads each catalog once.
compile_translations()

_NAME = f"test_hostmeter_{os.getpid()}"

# --hypothesis-profile=long: 200,000 cases over the five properties of test_properties.
hypothesis_settings.register_profile("long", max_examples=40_000, deadline=None)


# Where tests take a minute or more: they start the whole product, kill it, drive a browser.
_LONG = ("scenarios", "runtime", "browser")
# Needs no database of the suite's, so that the process beside it may make it meanwhile.
_FIRST = "test_up.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones: at the end, one core would wait for the other."""
    items.sort(key=lambda item: (item.path.name != _FIRST, item.path.parent.name not in _LONG))


@pytest.fixture(scope="session", autouse=True)
def uncollected_static_files() -> Iterator[None]:
    """Pages find their static files where they are written; the suite collects none."""
    storages = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    with override_settings(
        STORAGES=storages, WHITENOISE_AUTOREFRESH=True, WHITENOISE_USE_FINDERS=True
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hashed as ever, in one round instead of a million."""
    with override_settings(PASSWORD_HASHERS=["tests.hashing.OneRound"]):
        yield


def _maintenance() -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


_DATABASES = ("DATABASE_URL", "APP_DATABASE_URL", "ADMIN_DATABASE_URL")


def _in_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _point_at(name: str) -> None:
    for variable in _DATABASES:
        os.environ[variable] = _in_database(os.environ[variable], name)
    for alias in ("default", "owner"):
        settings.DATABASES[alias]["NAME"] = name
        connections[alias].settings_dict["NAME"] = name


def _pattern_name() -> str:
    """Of a database as these migrations leave it today: they also make the current partitions."""
    digest = hashlib.sha256(f"{datetime.now(UTC):%Y-%m-%d}".encode())
    for path in sorted(settings.BASE_DIR.glob("*/migrations/*.py")):
        digest.update(path.read_bytes())
    return f"test_hostmeter_pattern_{digest.hexdigest()[:16]}"


def _make_pattern(server: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    """Migrate once per server: half a minute, of which every process of a run gets a copy."""
    made = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if made is not None:
        return
    unfinished = f"{name}_unfinished"
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(unfinished)))
    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
    _point_at(unfinished)
    call_command("provision_database", verbosity=0)
    call_command("migrate", verbosity=0)
    connections.close_all()
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    server.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(name)))


def _copy_pattern(name: str) -> None:
    """A database of this name, as the pattern is."""
    before = dict(os.environ)
    pattern = _pattern_name()
    with _maintenance() as server:
        # The roles and the pattern are the server's: processes of one run share them.
        server.execute("SELECT pg_advisory_lock(1)")
        _make_pattern(server, pattern)
        os.environ.update(before)
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(pattern)
            )
        )


def _drop(name: str) -> None:
    with _maintenance() as server:
        # Not by force: that refuses where autovacuum is at work, whose worker is the superuser's.
        # A process that a test left running could connect again, so nobody may from here on.
        database = sql.Identifier(name)
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        # Chosen first, ended after: in one condition the server may end whom it would not choose.
        connected = server.execute(
            "SELECT pid, application_name, state, query FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type = 'client backend'",
            [name],
        ).fetchall()
        for pid, *what in connected:
            ended = server.execute("SELECT pg_terminate_backend(%s, 30000)", [pid]).fetchone()
            assert ended == (True,), f"still connected after half a minute: {what}"
        server.execute(sql.SQL("DROP DATABASE {}").format(database))


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A fresh database of the owner's, migrated; the tests connect as the application."""
    before = dict(os.environ)
    with django_db_blocker.unblock():
        _copy_pattern(_NAME)
        _point_at(_NAME)
    yield
    with django_db_blocker.unblock():
        connections.close_all()
    os.environ.clear()
    os.environ.update(before)
    _drop(_NAME)


@pytest.fixture(scope="module")
def given_servers(django_db_setup: None) -> Iterator[dict[str, str]]:
    """Variables that lead to a migrated database and a Redis of a product's own, on the servers of
    this run."""
    name = f"{_NAME}_given"
    _copy_pattern(name)
    databases = {variable: _in_database(os.environ[variable], name) for variable in _DATABASES}
    address = urlsplit(os.environ["REDIS_URL"])
    number = int(address.path.strip("/") or 0) + THROWAWAY_PROCESSES_MAX
    yield databases | {"REDIS_URL": urlunsplit(address._replace(path=f"/{number}"))}
    _drop(name)


@pytest.fixture(autouse=True)
def _clean_after_commits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the tables after a test that commits. Django's own flush asks the router, which lets
    only the owner's connection touch the tables."""
    yield
    marker = request.node.get_closest_marker("django_db")
    committed = marker is not None and marker.kwargs.get("transaction", False)
    if not committed and not {"transactional_db", "live_server"} & set(request.fixturenames):
        return
    _empty_tables()


_EMPTIED = """
    SELECT quote_ident(relname), relispartition, relkind = 'r' AND pg_relation_size(oid) > 0
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
"""


def _empty_tables() -> None:
    """Delete what was committed. To TRUNCATE all makes every file of tables and indexes anew, which
    takes ten times as long as to look which tables have a page at all."""
    with _maintenance() as server, server.transaction():
        whole = [name for name, part, _ in server.execute(_EMPTIED) if not part]
        # As TRUNCATE does: wait for whoever still writes, and only then look.
        server.execute(f"LOCK TABLE {', '.join(map(str, whole))}".encode())
        # Neither foreign keys nor triggers, which refuse to have some rows deleted.
        server.execute("SET LOCAL session_replication_role = replica")
        for name, _, with_pages in server.execute(_EMPTIED).fetchall():
            if with_pages:
                server.execute(f"DELETE FROM {name}".encode())  # noqa: S608


Kept = TypeVar("Kept")
Keep = Callable[[Callable[[], Kept]], Kept]


@pytest.fixture(scope="module")
def keep(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Keep[Any]]:
    """Makes what the tests of a module begin with, once: each is rolled back to it. Not beside
    tests that commit."""
    whole = transaction.atomic()
    with django_db_blocker.unblock():
        whole.__enter__()

    def make(maker: Callable[[], Kept]) -> Kept:
        with django_db_blocker.unblock():
            return maker()

    yield make
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        whole.__exit__(None, None, None)


def make_tenant(slug: str) -> Tenant:
    """A tenant with one environment, `production`."""
    with installation_scope():
        tenant = Tenant.objects.create(slug=slug, name=slug.title(), currency="EUR")
    with tenant_scope(tenant.pk):
        Environment.objects.create(name="production")
    return tenant


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant("first-host")


@pytest.fixture
def other_tenant(db: None) -> Tenant:
    return make_tenant("second-host")


@pytest.fixture
def inside(tenant: Tenant) -> Iterator[UUID]:
    """The test's body runs inside the first tenant."""
    with tenant_scope(tenant.pk):
        yield tenant.pk
