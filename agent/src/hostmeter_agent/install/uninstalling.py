"""Taking the agent off a host, without losing usage that has not reached the server."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from hostmeter_agent.cgroup.cgroups import OURS
from hostmeter_agent.errors import AgentError
from hostmeter_agent.install import accounts, systemd
from hostmeter_agent.install.installing import DEFAULT_USER, at, read_text
from hostmeter_agent.install.unit import (
    CONFIG_FILE,
    HIERARCHIES,
    PINS_DIRECTORY,
    RUNTIME_DIRECTORY,
    STATE_DIRECTORY,
    UNIT_FILE,
    user_of,
)
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.delivery import Delivery
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory

_DELIVER_SECONDS_MAX: Final = 60


class UninstallationRefused(AgentError):
    """The agent stays: something would be lost, or it may not be removed."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What the operator asked for."""

    root: Path = Path("/")
    keep_state: bool = False
    discard_undelivered: bool = False


class Uninstallation:
    """One run of `uninstall`; lines() does the work and says each thing that it did."""

    def __init__(self, removal: Removal) -> None:
        """Raises UninstallationRefused."""
        if os.geteuid() != 0:
            raise UninstallationRefused("needs root: run it with sudo")
        if not removal.root.is_dir():
            raise UninstallationRefused(f"{removal.root}: is no directory")
        self._removal = removal
        self._root = removal.root.resolve()
        self._state = StateDirectory(at(self._root, STATE_DIRECTORY))
        unit = read_text(at(self._root, UNIT_FILE))
        self._user = (user_of(unit) if unit else None) or DEFAULT_USER

    def lines(self) -> Iterator[str]:
        """Remove it all, the state last of what counts. Raises AgentError."""
        removed = 0
        booted = systemd.is_running(self._root)
        was_active = booted and systemd.is_active()
        if was_active:
            systemd.stop()
        try:
            yield from self._settle()
        except AgentError:
            if was_active:
                systemd.start()
            raise
        if booted and at(self._root, UNIT_FILE).exists():
            systemd.disable()
        for path in self._paths():
            if _remove(path):
                removed += 1
                yield f"removed {path}"
        for folder in self._cgroups():
            removed += 1
            yield _remove_cgroup(folder)
        if booted:
            systemd.reload()
        account = accounts.find_account(self._root, self._user)
        if account is not None and account.made_by_us and not self._removal.keep_state:
            accounts.remove_account(self._root, account)
            removed += 1
            yield f"removed the user {account.name}"
        yield "the server still knows this host: retire it there" if removed else "nothing is left"

    def _paths(self) -> list[Path]:
        drop_ins = UNIT_FILE.with_name(f"{UNIT_FILE.name}.d")
        enabled = UNIT_FILE.parent / "multi-user.target.wants" / UNIT_FILE.name
        paths: list[PurePosixPath] = [
            enabled, UNIT_FILE, drop_ins, PINS_DIRECTORY, RUNTIME_DIRECTORY, CONFIG_FILE.parent,
        ]  # fmt: skip
        if not self._removal.keep_state:
            paths.append(STATE_DIRECTORY)
        return [at(self._root, path) for path in paths]

    def _cgroups(self) -> list[Path]:
        """Those that the agent has made for applications, by hierarchy."""
        folders = [at(self._root, hierarchy / OURS.lstrip("/")) for hierarchy in HIERARCHIES]
        return [folder for folder in folders if folder.is_dir()]

    def _settle(self) -> Iterator[str]:
        """Deliver what waits. Raises UninstallationRefused where that is not possible."""
        if not self._state.spool.exists():
            return
        if self._state.is_held():
            raise UninstallationRefused(f"an agent is running on {self._state.path}: stop it first")
        if self._removal.keep_state:
            return
        with self._state.held(), closing(Spool(self._state.spool)) as spool:
            before = _undelivered(spool)
            if before and not self._removal.discard_undelivered:
                self._deliver(spool)
            left, reason = _undelivered(spool), spool.report()["last_error"]
        if before > left:
            yield f"delivered the last {before - left} samples"
        if left and not self._removal.discard_undelivered:
            raise UninstallationRefused(
                f"{left} samples have not reached the server, so nothing was removed"
                f"{f' ({reason})' if reason else ''}; "
                "--discard-undelivered gives them up, --keep-state keeps them here"
            )
        if left:
            yield f"gave up {left} samples that had not reached the server"

    def _deliver(self, spool: Spool) -> None:
        """Send what waits, until all is done, the server does not answer, or time is up."""
        identity = spool.identity()
        if identity is None:
            return
        channel = Channel(parse_server(identity.server), Keyring(spool, self._state, identity))
        delivery = Delivery(channel, delay_seconds=0)
        until = time.monotonic() + _DELIVER_SECONDS_MAX
        while time.monotonic() < until and delivery.step(time.time()) == 0.0:
            pass


def _remove(path: Path) -> bool:
    """Whether it was there. Raises UninstallationRefused."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UninstallationRefused(f"{path}: {error.strerror}") from error
    return True


def _remove_cgroup(folder: Path) -> str:
    """Remove it and those below in which nothing runs; what was done."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except OSError as error:
            # Cgroups hold files of the kernel's own: only a busy one, or its parent, stays.
            left = "programs run in it" if error.errno == errno.EBUSY else error.strerror
    return f"left {folder}: {left}" if folder.is_dir() else f"removed {folder}"


def _undelivered(spool: Spool) -> int:
    """Samples that wait, in batches or not, and those in quarantine."""
    waiting = spool.report()["pending_samples"]
    return (waiting if isinstance(waiting, int) else 0) + spool.quarantined_samples()
