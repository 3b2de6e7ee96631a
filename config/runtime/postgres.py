"""The embedded PostgreSQL: created once, started on a Unix socket and loopback TCP."""

import os
import pwd
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.runtime.failure import CannotRun
from config.runtime.place import Place
from config.runtime.ports import LOOPBACK
from config.runtime.processes import Account, Command
from config.runtime.supervisor import Part

SUPERUSER = "postgres"
OWNER = "hostmeter_owner"
DATABASE = "hostmeter"
# sun_path holds 108 bytes, the closing zero among them.
SOCKET_PATH_BYTES_MAX = 107
STATUS_LINE = 8  # of postmaster.pid: "ready" once connections are accepted

COMMON_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nothing replicates from an embedded server.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "60",
    "shared_buffers": "128MB",
    # What is wanted lies in memory or on a solid-state disk: with the usual 4 a shard of a billing
    # run read the whole table of hours instead of its customers' hours.
    "random_page_cost": "1.1",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# For databases that are thrown away after the run: the same answers without waiting for the disk.
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
}

Run = Callable[[str, Command], None]  # runs a command to its end; raises CannotRun


@dataclass(frozen=True)
class Postgres:
    place: Place
    port: int
    superuser_password: str
    throwaway: bool = False

    @property
    def data(self) -> Path:
        return self.place.folder / "postgres"

    @property
    def program_folder(self) -> Path:
        return self.place.programs.postgres / "bin"

    def socket_folder(self) -> str:
        """The data folder, or "" (TCP only) where the socket's path would be too long."""
        path = self.data / f".s.PGSQL.{self.port}"
        return str(self.data) if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX else ""

    def create(self, run: Run) -> None:
        """Make the data folder unless it is there; one left half-made is made again."""
        if self.data.exists():
            return
        draft = self.data.with_name("postgres.new")
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        # initdb wants the name of the user that it runs as, which an unused account has not; the
        # server itself does not ask.
        named = _named_account() if self.place.account else None
        _give(draft, named)
        # In memory and by descriptor: the password touches neither the disk nor the arguments.
        password = os.memfd_create("password")
        try:
            os.write(password, self.superuser_password.encode() + b"\n")
            run("initdb", self._initdb(draft, named, password))
        finally:
            os.close(password)
        _give(draft, self.place.account)
        draft.rename(self.data)

    def _initdb(self, draft: Path, account: Account | None, password: int) -> Command:
        arguments = [
            str(self.program_folder / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile=/proc/self/fd/{password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # The same order and case rules on every machine, whatever locales it has.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            # A half-made folder is made again, so nothing has to survive a crash here.
            "--no-sync",
        ]
        return Command(
            arguments,
            _program_environment(),
            account,
            folder=draft,
            descriptors=(password,),
        )

    def part(self) -> Part:
        settings = COMMON_SETTINGS | (THROWAWAY_SETTINGS if self.throwaway else {})
        settings |= {"port": str(self.port), "unix_socket_directories": self.socket_folder()}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = Command(
            [str(self.program_folder / "postgres"), "-D", str(self.data), *options],
            _program_environment(),
            self.place.account,
            folder=self.data,
            # Not SIGKILL: "fast shutdown" ends its backends too and leaves a clean data folder.
            death_signal=signal.SIGINT,
        )
        return Part(
            "postgres",
            command,
            is_ready=lambda process: self._is_ready(process.pid),
            start_timeout_s=60,
            stop_signal=signal.SIGINT,
            stop_timeout_s=30,
        )

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= STATUS_LINE and (lines[0].strip(), lines[STATUS_LINE - 1].strip()) == (
            str(pid),
            "ready",
        )

    def left_running(self) -> int | None:
        """The process of an earlier run that still uses the data: its supervisor was killed."""
        try:
            pid = int((self.data / "postmaster.pid").read_text("utf-8").split("\n", 1)[0])
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.data) in program else None

    def create_owner(self, run: Run, password: str) -> None:
        """Make the owning role and its database, or give the role this password.

        It may create databases, because tests and benches run in scratch ones.
        """
        rights = "LOGIN CREATEROLE CREATEDB BYPASSRLS"
        script = f"""
            SELECT 'CREATE ROLE {OWNER}' WHERE to_regrole('{OWNER}') IS NULL \\gexec
            ALTER ROLE {OWNER} {rights} PASSWORD {_literal(password)};
            SELECT 'CREATE DATABASE {DATABASE} OWNER {OWNER}' WHERE NOT EXISTS
                (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
        """  # noqa: S608  constants, and the password as a literal
        arguments = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        arguments[0] = str(self.program_folder / "psql")
        environment = _program_environment() | {
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.port),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": self.superuser_password,
            "PGDATABASE": "postgres",
        }
        run("roles", Command(arguments, environment, standard_input=script.encode()))

    def check_version(self) -> None:
        """Raises CannotRun when the data was written by another major version."""
        try:
            version = (self.data / "PG_VERSION").read_text("utf-8").strip()
        except OSError:
            return
        if version != self.place.programs.postgres.name.removeprefix("pginstall"):
            raise CannotRun(
                f"{self.data} was written by PostgreSQL {version}, which is no longer embedded here"
            )


def _program_environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _named_account() -> Account:
    entries = pwd.getpwall()
    found = next((entry for entry in entries if entry.pw_name == "nobody"), None)
    found = found or next((entry for entry in entries if entry.pw_uid), None)
    if found is None:
        raise CannotRun("root cannot run PostgreSQL, and this machine has no other user")
    return Account(found.pw_uid, found.pw_gid)


def _give(folder: Path, account: Account | None) -> None:
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
