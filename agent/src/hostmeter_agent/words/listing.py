"""Which files are a log: those that a pattern matches, and what rotation made of them."""

import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from glob import glob
from typing import Final

_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip", ".Z", ".lz4", ".br")

Identity = tuple[int, int]
"""A file's device and inode."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file. base: the log that it is, or was before it was rotated. primary: it is matched by
    the pattern and not the rotated form of another match. changed_ns: its status's last change."""

    path: str
    base: str
    primary: bool
    identity: Identity
    size: int
    changed_ns: int
    modified_ns: int
    readable: bool
    """Its name is not that of a compressed file, which may have a log's number by now."""


def is_rotated(name: str, base: str) -> bool:
    """Whether rotation gives the log `base` such a name: access.log.1, access.log-20261124,
    access-2026-11-24.log. Compressed ones are copies of what was there before."""
    if name == base or name.endswith(_COMPRESSED):
        return False
    if name.startswith(base):
        return name[len(base)] in "._-~"
    stem, suffix = os.path.splitext(base)
    dated = rf"{re.escape(stem)}[._-]\d[\d._:T-]*{re.escape(suffix)}"
    return bool(suffix) and re.fullmatch(dated, name) is not None


_SETTLED_NS: Final = 1_000_000_000
"""A directory that changed within this time may change again without another time stamp."""


class Listing:
    """Looks for the files of one log; a directory that has not changed is not listed again."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._listed: dict[str, tuple[object, list[tuple[str, str | None]]]] = {}
        self._entries: dict[str, Entry] = {}

    def look(
        self, bases: Collection[str], followed: dict[Identity, str], known: Collection[Identity]
    ) -> dict[Identity, Entry]:
        """All files of the log. bases: logs that are followed already; followed: every file that
        is, with its base, to be found under whatever name it has now; known: files of which
        nothing more is expected, so that only their names matter. Raises OSError where a
        directory may not be listed."""
        matched = {os.path.realpath(path) for path in glob(self._pattern)}
        primaries = {path for path in matched if not _is_rotated_form(path, matched)}
        found: dict[Identity, Entry] = {}
        for directory, names in _by_directory({*primaries, *bases}).items():
            unchanged, paths = self._paths(directory, names, followed)
            for path, base in paths:
                entry = self._entries.get(path) if unchanged else None
                if entry is None or entry.identity not in known or entry.primary:
                    entry = _entry(path, base, primaries, followed)
                if entry is not None and (entry.primary or entry.identity not in found):
                    found[entry.identity] = entry
        self._entries = {entry.path: entry for entry in found.values()}
        return found

    def _paths(
        self, directory: str, names: Collection[str], followed: dict[Identity, str]
    ) -> tuple[bool, list[tuple[str, str | None]]]:
        """Whether a directory is as it was, and its files with the log that their names tell."""
        try:
            changed_ns = os.stat(directory).st_mtime_ns
        except FileNotFoundError:
            return False, []
        key = (changed_ns, frozenset(names), frozenset(followed))
        listed = self._listed.get(directory)
        if listed is not None and listed[0] == key:
            return True, listed[1]
        paths = list(_list(directory, names, followed))
        self._listed.pop(directory, None)
        if time.time_ns() - changed_ns > _SETTLED_NS:
            self._listed[directory] = (key, paths)
        return False, paths


def _by_directory(paths: Collection[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in sorted(paths):
        directory, name = os.path.split(path)
        names.setdefault(directory, []).append(name)
    return names


def _is_rotated_form(path: str, matched: Collection[str]) -> bool:
    directory, name = os.path.split(path)
    return any(
        os.path.dirname(other) == directory and is_rotated(name, os.path.basename(other))
        for other in matched
    )


def _list(
    directory: str, names: Collection[str], followed: dict[Identity, str]
) -> Iterator[tuple[str, str | None]]:
    inodes = {inode for _, inode in followed}
    with os.scandir(directory) as listed:
        for item in listed:
            of = item.name if item.name in names else None
            of = of or next((name for name in names if is_rotated(item.name, name)), None)
            if of is not None:
                yield item.path, f"{directory}/{of}"
            elif item.inode() in inodes:
                yield item.path, None


def _entry(
    path: str, base: str | None, primaries: set[str], followed: dict[Identity, str]
) -> Entry | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    identity = (status.st_dev, status.st_ino)
    readable = not path.endswith(_COMPRESSED)
    base = followed.get(identity) or (path if path in primaries else base)
    if base is None or not stat.S_ISREG(status.st_mode):
        return None
    return Entry(
        path, base, path in primaries, identity, status.st_size, status.st_ctime_ns,
        status.st_mtime_ns, readable,
    )  # fmt: skip
