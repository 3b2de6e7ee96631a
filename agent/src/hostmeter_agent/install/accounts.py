"""The system user that the agent runs as."""

import grp
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.install.unit import STATE_DIRECTORY

_COMMENT: Final = "Hostmeter agent"
"""In the account's GECOS field: only an account that was made for the agent is removed again."""
_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SECONDS_MAX: Final = 30


class AccountUnusable(AgentError):
    """The user cannot be made, found or removed."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its own group."""

    name: str
    uid: int
    gid: int
    made_by_us: bool


def checked_name(name: str) -> str:
    """Raises AccountUnusable for what no login name may be."""
    if not _NAME.fullmatch(name):
        raise AccountUnusable(f"{name!r} cannot be a user's name: use a-z, 0-9, _ and -")
    return name


def find_account(root: Path, name: str) -> Account | None:
    """The user of that name in the system below `root`. Raises AccountUnusable."""
    if root == Path("/"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            return None
        return Account(name, found.pw_uid, found.pw_gid, found.pw_gecos == _COMMENT)
    for line in _lines(root / "etc/passwd"):
        fields = line.split(":")
        if len(fields) == 7 and fields[0] == name and fields[2].isdigit() and fields[3].isdigit():
            return Account(name, int(fields[2]), int(fields[3]), fields[4] == _COMMENT)
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AccountUnusable(f"{path}: {error.strerror}") from error


def create_account(root: Path, name: str) -> Account:
    """Make a system user without a password, a shell or a home of its own."""
    _run(
        "useradd", root, "--system", "--user-group", "--no-create-home", "--no-log-init",
        "--home-dir", str(STATE_DIRECTORY), "--shell", "/usr/sbin/nologin",
        "--comment", _COMMENT, name,
    )  # fmt: skip
    account = find_account(root, name)
    if account is None:
        raise AccountUnusable(f"useradd made no user {name}")
    return account


def remove_account(root: Path, account: Account) -> None:
    """Its group, which nobody else is in, goes with it."""
    _run("userdel", root, account.name)
    if _has_group(root, account.name):  # userdel's login.defs may say that it stays
        _run("groupdel", root, account.name)


def _has_group(root: Path, name: str) -> bool:
    if root == Path("/"):
        return any(group.gr_name == name for group in grp.getgrall())
    return any(line.startswith(f"{name}:") for line in _lines(root / "etc/group"))


def _run(program: str, root: Path, *words: str) -> None:
    path = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise AccountUnusable(
            f"{program} is missing (Debian: package passwd): make the system user yourself and "
            "name it with --user"
        )
    below = ["--prefix", str(root)] if root != Path("/") else []
    try:
        done = subprocess.run(
            [path, *below, *words], capture_output=True, text=True, timeout=_SECONDS_MAX,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AccountUnusable(f"{program}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise AccountUnusable(said[-1] if said else f"{program} ended with {done.returncode}")
