"""Setting the agent up on a host: user, state, enrolment, configuration, unit.

Each step looks at what is there first, so that a second installation is an update: what is as it
should be stays untouched, and an interrupted one goes on where it stopped.
"""

import os
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.install import accounts, config_file, systemd
from hostmeter_agent.install.accounts import Account
from hostmeter_agent.install.unit import CONFIG_FILE, STATE_DIRECTORY, UNIT_FILE, Unit, user_of
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.spool import Identity, Spool
from hostmeter_agent.store.state import SPOOL_FILE

DEFAULT_USER: Final = "hostmeter-agent"
_ENROL_SECONDS_MAX: Final = 90
_HIDDEN_BY_UNIT: Final = ("/tmp", "/var/tmp")  # noqa: S108  PrivateTmp= hides them


class InstallationRefused(AgentError):
    """The host cannot be set up like this; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asked for. `server` and `token` may be left out on an enrolled host."""

    root: Path = Path("/")
    server: str | None = None
    token: str | None = None
    name: str | None = None
    user: str | None = None
    config: Path | None = None
    values: list[str] = field(default_factory=list)
    start: bool = True
    python: str = sys.executable


def at(root: Path, path: PurePosixPath) -> Path:
    """Where a path of the installed system stands, seen from here."""
    return root / path.relative_to("/")


def read_text(path: Path) -> str | None:
    """The file's text; None where there is none. Raises InstallationRefused."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InstallationRefused(f"{path}: {getattr(error, 'strerror', 'not text')}") from error


def known_identity(root: Path) -> Identity | None:
    """Whom the state directory below `root` belongs to. Raises AgentError."""
    path = at(root, STATE_DIRECTORY) / SPOOL_FILE
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallationRefused(f"{path}: {error.strerror}; run it as root") from error
    with closing(Spool(path)) as spool:
        return spool.identity()


class Installation:
    """One run of `install`; lines() does the work and says each thing that it did."""

    def __init__(self, wanted: Wanted) -> None:
        """Check all that can be checked before anything is touched. Raises AgentError."""
        self._wanted = wanted
        self._root = wanted.root.resolve()
        if not self._root.is_dir():
            raise InstallationRefused(f"{wanted.root}: is no directory")
        if any(wanted.python.startswith(f"{folder}/") for folder in _HIDDEN_BY_UNIT):
            raise InstallationRefused(
                f"{wanted.python} lies where the unit cannot see it: install the agent into a "
                "place such as /opt/hostmeter-agent"
            )
        self._server = parse_server(wanted.server).url if wanted.server else None
        self._former_unit = read_text(at(self._root, UNIT_FILE))
        former_user = user_of(self._former_unit) if self._former_unit else None
        self._user = accounts.checked_name(wanted.user or former_user or DEFAULT_USER)
        self._account = accounts.find_account(self._root, self._user)
        if self._account is None and wanted.user is not None and wanted.user != DEFAULT_USER:
            raise InstallationRefused(f"there is no user {wanted.user}; without --user one is made")
        self._config = config_file.planned_text(
            at(self._root, CONFIG_FILE), wanted.config, wanted.values
        )
        self._identity = known_identity(self._root)
        if self._identity is None and (self._server is None or wanted.token is None):
            raise InstallationRefused("this host is not enrolled yet: give --server and --token")

    def planned(self) -> Iterator[str]:
        """What lines() would do, without doing it."""
        if self._account is None:
            yield f"would create the system user {self._user}"
        yield f"would make {at(self._root, STATE_DIRECTORY)} (mode 0700, owned by {self._user})"
        if self._identity is None:
            yield f"would enrol at {self._server} as {self._wanted.name or socket.gethostname()}"
        else:
            yield self._already_enrolled(self._identity)
        for path, text in self._files():
            if read_text(path) == text:
                yield f"{path}: stays as it is"
            else:
                yield f"would write {path}:\n" + text.rstrip("\n")
        yield "would start it" if self._starts() else self._by_hand()

    def lines(self) -> Iterator[str]:
        """Do it, and say so. Raises AgentError; what was done until then is kept."""
        if os.geteuid() != 0:
            raise InstallationRefused("needs root: run it with sudo")
        if self._account is None:
            self._account = accounts.create_account(self._root, self._user)
            yield f"created the system user {self._user}"
        self._check_program(self._account)
        self._own_state(self._account)
        if self._identity is None:
            yield self._enrol(self._account)
        else:
            yield self._already_enrolled(self._identity)
        changed = False
        for path, text in self._files():
            if read_text(path) == text:
                yield f"{path}: stays as it is"
            else:
                _write(path, text)
                changed = True
                yield f"wrote {path}"
        yield from self._start(changed=changed)

    def _files(self) -> list[tuple[Path, str]]:
        return [
            (at(self._root, CONFIG_FILE), self._config),
            (at(self._root, UNIT_FILE), self._unit().text()),
        ]

    def _unit(self) -> Unit:
        identity, server = self._identity, self._server
        moved = server if identity is not None and server not in (None, identity.server) else None
        return Unit(self._wanted.python, self._user, self._user, moved)

    def _already_enrolled(self, identity: Identity) -> str:
        unused = "; the token was not used" if self._wanted.token else ""
        return f"enrolled already at {identity.server} as {identity.name}{unused}"

    def _own_state(self, account: Account) -> None:
        """The unit's StateDirectory= would do the same at its start."""
        directory = at(self._root, STATE_DIRECTORY)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            for path in (directory, *directory.iterdir()):
                status = path.lstat()
                # Whoever had the directory before may have put a name for another's file there.
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    raise InstallationRefused(f"{path}: has another name elsewhere; remove it")
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
        except OSError as error:
            raise InstallationRefused(f"{directory}: {error.strerror}") from error

    def _check_program(self, account: Account) -> None:
        done = self._as_user(account, "--version")
        if done is None or done.returncode:
            raise InstallationRefused(
                f"the user {account.name} cannot run {self._wanted.python} -m hostmeter_agent: "
                "install the agent where every user may read it, such as /opt/hostmeter-agent"
            )

    def _enrol(self, account: Account) -> str:
        words = ["enrol", "--server", self._server or "", "--token-file", "-"]
        words += ["--state", str(at(self._root, STATE_DIRECTORY))]
        words += ["--name", self._wanted.name] if self._wanted.name else []
        done = self._as_user(account, *words, given=self._wanted.token)
        if done is None:
            raise InstallationRefused(f"{self._server} did not answer in {_ENROL_SECONDS_MAX} s")
        if done.returncode:
            said = done.stderr.strip().splitlines()
            reason = said[-1] if said else f"exit status {done.returncode}"
            raise InstallationRefused(reason.removeprefix("hostmeter-agent: "))
        return f"{done.stdout.strip()} at {self._server}"

    def _as_user(
        self, account: Account, *words: str, given: str | None = None
    ) -> "subprocess.CompletedProcess[str] | None":
        """The agent's own command as the agent's user; None where it cannot be run at all."""
        try:
            return subprocess.run(
                [self._wanted.python, "-m", "hostmeter_agent", *words], input=given or "",
                capture_output=True, text=True, timeout=_ENROL_SECONDS_MAX, check=False,
                cwd="/", env={"PATH": "/usr/bin:/bin"}, user=account.uid, group=account.gid,
                extra_groups=[], umask=0o077,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None

    def _starts(self) -> bool:
        return self._wanted.start and systemd.is_running(self._root)

    def _start(self, *, changed: bool) -> Iterator[str]:
        if self._starts():
            systemd.start()
            yield "started; it starts at boot, too"
            return
        if changed and systemd.is_running(self._root):
            systemd.reload()
        yield self._by_hand()

    def _by_hand(self) -> str:
        if systemd.is_running(self._root):
            return f"not started: systemctl enable --now {UNIT_FILE.name} does it"
        if self._root != Path("/"):
            return f"not started: {self._root} is not the system that runs here"
        words = shlex.join(self._unit().command_by_hand())
        return f"systemd does not run here, so nothing was started; this starts the agent: {words}"


def _write(path: Path, text: str) -> None:
    """Replace a file in one step. Raises InstallationRefused."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise InstallationRefused(f"{path}: {error.strerror}") from error
