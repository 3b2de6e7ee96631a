"""Which files are a log: those that a pattern matches, and what rotation made of them."""

import os
import re
import stat
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


def look(
    pattern: str, bases: Collection[str], followed: dict[Identity, str]
) -> dict[Identity, Entry]:
    """All files of a log. bases: logs that are followed already; followed: every file that is,
    with its base, to be found under whatever name it has now. Raises OSError where a directory
    may not be listed."""
    matched = {os.path.realpath(path) for path in glob(pattern)}
    primaries = {path for path in matched if not _rotated_from(path, matched)}
    directories = {os.path.dirname(path) for path in (*primaries, *bases)}
    found: dict[Identity, Entry] = {}
    for directory in sorted(directories):
        for path in _paths(directory, {*primaries, *bases}, followed):
            entry = _entry(path, primaries, bases, followed)
            if entry is not None and (entry.primary or entry.identity not in found):
                found[entry.identity] = entry
    return found


def _rotated_from(path: str, bases: Collection[str]) -> str | None:
    directory, name = os.path.split(path)
    for base in bases:
        if os.path.dirname(base) == directory and is_rotated(name, os.path.basename(base)):
            return base
    return None


def _paths(directory: str, bases: Collection[str], followed: dict[Identity, str]) -> Iterator[str]:
    inodes = {inode for _, inode in followed}
    try:
        with os.scandir(directory) as listed:
            for item in listed:
                known = item.path in bases or item.inode() in inodes
                if known or _rotated_from(item.path, bases):
                    yield item.path
    except FileNotFoundError:
        return


def _entry(
    path: str, primaries: set[str], bases: Collection[str], followed: dict[Identity, str]
) -> Entry | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    identity = (status.st_dev, status.st_ino)
    base = path if path in primaries else _rotated_from(path, {*primaries, *bases})
    base = followed.get(identity) or base
    if not stat.S_ISREG(status.st_mode) or base is None:
        return None
    return Entry(
        path, base, path in primaries, identity, status.st_size, status.st_ctime_ns,
        status.st_mtime_ns,
    )  # fmt: skip
