"""Limits of a policy, held by the kernel in the cgroups that the agent makes for applications.

Memory is held by memory.high: an application over it is slowed down and its memory reclaimed, and
none of its processes is killed. In cgroups of another maker nothing is ever written.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hostmeter_agent.config import Limits

log = logging.getLogger("hostmeter_agent")

_PERIOD_US: Final = 100_000
_QUOTA_US_MIN: Final = 1_000
"""The kernel takes no less; that is 10 millicores."""
_NONE: Final = "max"
_CONTROLLERS: Final = {"cpu.max": "cpu", "memory.high": "memory", "pids.max": "pids"}


def written(limits: Limits | None) -> dict[str, str]:
    """What stands in a cgroup's files for these limits; "max" for none."""
    wanted = limits or Limits()
    quota_us = _NONE
    if wanted.cpu_millicores is not None:
        quota_us = str(max(wanted.cpu_millicores * _PERIOD_US // 1_000, _QUOTA_US_MIN))
    return {
        "cpu.max": f"{quota_us} {_PERIOD_US}",
        "memory.high": _NONE if wanted.memory_bytes is None else str(wanted.memory_bytes),
        "pids.max": _NONE if wanted.processes is None else str(wanted.processes),
    }


class Holding:
    """Keeps the cgroups below `root`, one for each application, at the limits that are wanted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[str, Limits | None] = {}
        self._failed: dict[str, str] = {}
        self._lent: set[str] = set()

    @property
    def in_words(self) -> str:
        """For the operators: what is held for how many applications, and what cannot be."""
        held = sum(limits is not None for limits in self._held.values())
        words = f"held for {held} applications" if held else "nothing is held"
        return "; ".join([words, *(f"{why}" for _, why in sorted(self._failed.items()))])

    def hold(self, folders: Iterable[str], limits: Limits | None) -> None:
        """Write what differs from what was written last: at first all, so that what an agent
        before this one has left is taken back where it is no longer wanted."""
        folders = list(folders)
        for gone in self._held.keys() - set(folders):
            del self._held[gone]
        for folder in folders:
            if folder not in self._held or self._held[folder] != limits:
                self._held[folder] = limits
                self._write(Path(folder), limits)

    def _write(self, folder: Path, limits: Limits | None) -> None:
        for name, value in written(limits).items():
            is_limit = not value.startswith(_NONE)
            if is_limit:
                self._lend(_CONTROLLERS[name])
            path = folder / name
            try:
                if path.read_text().split() != value.split():
                    path.write_text(value)
                self._failed.pop(name, None)
            except OSError as error:
                # Without a limit nothing is missed where the file is not there.
                if is_limit:
                    self._note_failure(name, error.strerror or str(error))

    def _lend(self, controller: str) -> None:
        if controller in self._lent:
            return
        self._lent.add(controller)
        try:
            (self._root / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            log.info("own cgroups have no %s controller: %s", controller, error.strerror)

    def _note_failure(self, name: str, why: str) -> None:
        words = f"{name} cannot be written: {why}"
        if self._failed.get(name) != words:
            log.warning("the policy's limits are not held: %s", words)
        self._failed[name] = words


def release_former(root: Path) -> None:
    """Take back what a former run has had held, where this one makes no cgroups of its own."""
    if root.is_dir():
        Holding(root).hold([str(path) for path in root.iterdir() if path.is_dir()], None)
