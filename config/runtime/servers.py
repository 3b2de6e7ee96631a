"""The servers of one run: those given by the environment, and embedded ones for the rest."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.runtime.addresses import database_urls, embedded_database_url
from config.runtime.failure import CannotRun
from config.runtime.place import Place, find_place
from config.runtime.postgres import Postgres
from config.runtime.signals import Waiting
from config.runtime.supervisor import Supervisor
from config.runtime.valkey import Valkey

LEFTOVER_WAIT_S = 40


@dataclass(frozen=True)
class Servers:
    """What has to be embedded (None: it is given), and the variables that lead to all of it."""

    postgres: Postgres | None
    valkey: Valkey | None
    secrets: Mapping[str, str]
    given: Mapping[str, str]

    def variables(self) -> dict[str, str]:
        """DATABASE_URL and its kin, and REDIS_URL."""
        if self.postgres is None:
            owner_url = self.given["DATABASE_URL"]
        else:
            password = self.secrets["HOSTMETER_OWNER_PASSWORD"]
            owner_url = embedded_database_url(self.postgres.port, password)
        redis_url = self.given["REDIS_URL"] if self.valkey is None else self.valkey.url
        # With an embedded database, leftover variables for another one must not be mixed in.
        given = self.given if self.postgres is None else {}
        return database_urls(owner_url, self.secrets, given) | {"REDIS_URL": redis_url}


def plan_servers(
    folder: Path,
    ports: Mapping[str, int],
    secrets: Mapping[str, str],
    given: Mapping[str, str],
    *,
    throwaway: bool = False,
) -> Servers:
    """Decide what is embedded. Raises CannotRun when that is impossible here."""
    needs_postgres, needs_valkey = not given.get("DATABASE_URL"), not given.get("REDIS_URL")
    if not needs_postgres and not needs_valkey:
        return Servers(None, None, secrets, given)
    place: Place = find_place(folder)
    postgres = Postgres(place, ports["postgres"], secrets["HOSTMETER_POSTGRES_PASSWORD"], throwaway)
    valkey = Valkey(place, ports["valkey"], secrets["HOSTMETER_VALKEY_PASSWORD"], throwaway)
    return Servers(
        postgres if needs_postgres else None, valkey if needs_valkey else None, secrets, given
    )


def start_servers(servers: Servers, supervisor: Supervisor) -> None:
    """Start what is embedded and wait until it answers. Raises CannotRun."""
    parts = []
    if servers.valkey is None:
        check_redis(servers.given["REDIS_URL"])
    if servers.postgres is not None:
        _wait_for_leftover(servers.postgres, supervisor.waiting)
        servers.postgres.check_version()
        servers.postgres.create(supervisor.run)
        parts.append(servers.postgres.part())
    if servers.valkey is not None:
        servers.valkey.create()
        parts.append(servers.valkey.part())
    supervisor.start(parts)
    if servers.postgres is not None:
        servers.postgres.create_owner(supervisor.run, servers.secrets["HOSTMETER_OWNER_PASSWORD"])


def _wait_for_leftover(postgres: Postgres, waiting: Waiting) -> None:
    """The last supervisor was killed; the kernel told its server, which may still be stopping."""
    give_up_at = time.monotonic() + LEFTOVER_WAIT_S
    while (pid := postgres.left_running()) is not None:
        if time.monotonic() > give_up_at:
            raise CannotRun(f"postgres: process {pid} still uses {postgres.data}")
        waiting.pause(0.1)


def check_redis(url: str) -> None:
    """Raises CannotRun where no server answers: the worker would only try on and on."""
    import redis  # not needed by those who only ask what runs

    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise CannotRun(f"REDIS_URL: {str(error).splitlines()[0].rstrip('.')}") from None


def given_servers() -> dict[str, str]:
    """The variables by which a caller names servers to use."""
    names = ("DATABASE_URL", "APP_DATABASE_URL", "ADMIN_DATABASE_URL", "REDIS_URL")
    return {name: value for name in names if (value := os.environ.get(name))}
