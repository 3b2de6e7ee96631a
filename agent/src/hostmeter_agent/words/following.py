"""Follows the files of one log through rotation, truncation, deletion and restarts.

A file is known by device and inode, and by a fingerprint of what was read of it: its first bytes
and those before the position. So a number that is used again and a file that was overwritten are
seen, and a copy (as `copytruncate` makes it) is recognised as what was read already.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.words.lines import (
    TakeLines,
    begins_alike,
    end_of_lines,
    fingerprint,
    head_print,
    read_lines,
)
from hostmeter_agent.words.listing import Entry, Identity, Listing
from hostmeter_agent.words.log_state import Followed, Ignored, LogState

FILES_MAX: Final = 64
HELD_MAX: Final = 8
"""Files that stay open between scans, so that they are read to their end when deleted."""
QUIET_MS_MAX: Final = 600_000
"""A rotated file into which nobody wrote for that long is finished."""
DELETED_QUIET_MS_MAX: Final = 60_000

COPIED: Final = "log-copied"
"""It was copied, then emptied or removed; what was written in between is in neither file."""
TRUNCATED: Final = "log-truncated"
LOST: Final = "log-lost"
TOO_MANY: Final = "too-many-files"
BEHIND: Final = "log-behind"


@dataclass(slots=True)
class LogStep:
    """One reading of a log. present: there is a file that it is written to; overlong: lines that
    were too long to be read; fresh: files that were not there before; copies: rotated files that
    hold the beginning of one that is followed."""

    state: LogState
    fresh: frozenset[Identity] = frozenset()
    present: bool = False
    overlong: int = 0
    marks: set[str] = field(default_factory=set)
    copies: list[tuple[Entry, Followed]] = field(default_factory=list)


class Follower:
    """Reads what is new in the files that a pattern matches."""

    def __init__(self, pattern: str, bytes_per_scan: int) -> None:
        self._listing = Listing(pattern)
        self._budget_bytes = bytes_per_scan
        self._held: dict[Identity, int] = {}
        self._passing: list[int] = []
        self._looked_at: dict[Identity, tuple[int, bool]] = {}
        self._last: LogState | None = None

    def read(self, former: LogState | None, take: TakeLines, *, elapsed_ms: int) -> LogStep:
        """Hand over the lines that were written since `former`, or none at the first time.

        Nothing is moved: the same `former` gives the same lines again and what came since.
        Raises OSError where a file may not be read.
        """
        before = former or LogState()
        followed = {file.identity: file.base for file in before.files}
        entries = self._listing.look(set(followed.values()), followed, before.known)
        step = LogStep(LogState())
        try:
            before = self._found_again(before, entries)
            self._go_on(before, entries, step)
            if former is None:
                self._begin(entries, step)
            else:
                self._take_on(before, entries, step)
            self._read(entries, take, step, elapsed_ms)
            self._ignore_copies(step)
        finally:
            for descriptor in self._passing:
                os.close(descriptor)
            self._passing.clear()
        step.present = any(file.primary or file.quiet_ms == 0 for file in step.state.files)
        self._last = step.state
        return step

    def stored(self) -> None:
        """Let go of the files that the last reading finished."""
        if self._last is not None:
            wanted = {file.identity for file in self._last.files}
            for identity in self._held.keys() - wanted:
                os.close(self._held.pop(identity))

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _open(self, identity: Identity, entry: Entry | None) -> int | None:
        """A file that is followed; None where it cannot be found under its name."""
        if identity in self._held:
            return self._held[identity]
        return self._opened(entry, hold=True) if entry is not None else None

    def _opened(self, entry: Entry, *, hold: bool = False) -> int | None:
        with suppress(FileNotFoundError):
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != entry.identity:
                os.close(descriptor)  # another one took its name just now
                return None
            if hold and len(self._held) < HELD_MAX:
                self._held[entry.identity] = descriptor
            else:
                self._passing.append(descriptor)
            return descriptor
        return None

    def _found_again(self, before: LogState, entries: dict[Identity, Entry]) -> LogState:
        """Devices may be numbered otherwise after a reboot, or when they are mounted anew: then
        what was known of files is what is known of those that hold the same."""
        known = [file.identity for file in before.files] + list(before.known)
        moved = {device for device, _ in known} - {device for device, _ in entries}
        moved -= {device for device, _ in self._held}
        if not moved:
            return before
        free = {one: entry for one, entry in entries.items() if one not in known}
        found = LogState()
        for file in before.files:
            one = file.identity
            if one[0] in moved and file.told_by:
                same = [e for e in free.values() if e.base == file.base and self._tells(e, file)]
                one = _taken(same, free) or one
            found.files.append(replace(file, identity=one))
        for one, ignored in before.known.items():
            same = [e for e in free.values() if one[0] in moved and self._heads(e, ignored)]
            found.known[_taken(same, free) or one] = ignored
        return found

    def _tells(self, entry: Entry, file: Followed) -> bool:
        """Whether a file begins with what another one is known by."""
        descriptor = self._opened(entry) if entry.size >= file.told_by else None
        return descriptor is not None and fingerprint(descriptor, file.told_by) == file.fingerprint

    def _heads(self, entry: Entry, known: Ignored) -> bool:
        descriptor = self._opened(entry) if entry.size >= known.length else None
        head = known.length, known.head
        return descriptor is not None and head_print(descriptor, known.length) == head

    def _go_on(self, before: LogState, entries: dict[Identity, Entry], step: LogStep) -> None:
        """What was followed, under whatever name it is now."""
        claimed = {f.identity for f in before.files if not self._is_anothers_now(f, entries)}
        free = {one: entry for one, entry in entries.items() if one not in claimed}
        step.fresh = frozenset(free.keys() - before.known.keys())
        for former in before.files:
            entry = entries.get(former.identity)
            primary = entry is not None and entry.primary
            if entry is not None and not primary and self._is_unknown(former):
                continue
            file = replace(former, primary=primary, missed=False)
            descriptor = self._open(former.identity, entry)
            if descriptor is None:
                self._missing(former, free, step)
            elif self._is_intact(descriptor, former):
                step.state.files.append(file)
            else:
                if not self._goes_on_in_copy(former, free, step):
                    self._mark(TRUNCATED, former, free, step)
                if primary:
                    anew = Followed(former.identity, former.base, primary=primary)
                    step.state.files.append(anew)
                # A number of a rotated file may be another's now: one that was not there before.

    def _is_anothers_now(self, file: Followed, entries: dict[Identity, Entry]) -> bool:
        """Whether a deleted file's number was given to one that lies among the rotated ones."""
        entry = entries.get(file.identity)
        if entry is None or entry.primary or not file.told_by or file.identity in self._held:
            return False
        return not self._tells(entry, file)

    def _is_unknown(self, file: Followed) -> bool:
        """Whether only its number tells a file: nothing was in it, so that another one that has
        the number by now looks the same. It is taken on like any other that is new."""
        return not file.told_by and file.identity not in self._held

    def _is_intact(self, descriptor: int, file: Followed) -> bool:
        size = os.fstat(descriptor).st_size
        if size < max(file.seen, file.position.offset):
            return False
        length = file.told_by
        return length == 0 or fingerprint(descriptor, length) == file.fingerprint

    def _missing(self, file: Followed, free: dict[Identity, Entry], step: LogStep) -> None:
        """Not found: a name that changed during the listing is found the next time."""
        if self._goes_on_in_copy(file, free, step):
            return
        if not file.missed:
            step.state.files.append(replace(file, missed=True))
        else:
            self._mark(LOST, file, free, step)

    def _mark(self, mark: str, file: Followed, free: dict[Identity, Entry], step: LogStep) -> None:
        """Say that something may be lost, unless a rotated file had been read to its end and for
        a while nobody wrote into it, or what was not begun lies in a file that is to be read."""
        finished = not file.primary and file.drained and file.quiet_ms >= DELETED_QUIET_MS_MAX
        if file.position.offset == 0:
            finished = not file.seen or self._may_lie_in(file, free, step)
        if not finished:
            step.marks.add(mark)

    def _goes_on_in_copy(self, file: Followed, free: dict[Identity, Entry], step: LogStep) -> bool:
        """Go on in a copy of what is gone or was overwritten, where there is one."""
        if not file.position.offset:
            return False
        copies = [entry for entry in free.values() if self._holds(entry, file)]
        if not copies:
            return False
        step.marks.add(COPIED)
        largest = max(copies, key=lambda entry: (entry.size, entry.modified_ns))
        step.state.files.append(replace(file, identity=largest.identity, primary=False))
        for entry in copies:
            del free[entry.identity]
            if entry is not largest:
                self._ignore(entry, step)
        return True

    def _may_lie_in(self, file: Followed, free: dict[Identity, Entry], step: LogStep) -> bool:
        """Whether a new file holds what was in this one, of which no line was read."""
        return any(
            one in step.fresh and entry.size >= file.seen and self._holds(entry, file)
            for one, entry in free.items()
        )

    def _holds(self, entry: Entry, file: Followed) -> bool:
        """Whether a copy, or what rotation left, begins with what another one is known by."""
        return not entry.primary and self._tells(entry, file)

    def _begin(self, entries: dict[Identity, Entry], step: LogStep) -> None:
        """The first time: what was written before is not metered."""
        newest = sorted(entries.values(), key=lambda entry: -entry.modified_ns)
        for entry in newest:
            descriptor = self._opened(entry, hold=entry.primary)
            if descriptor is None:
                continue
            if not entry.primary or not self._has_room(step):
                self._ignore(entry, step)
                continue
            file = Followed(entry.identity, entry.base, seen=entry.size)
            file.position = end_of_lines(descriptor, entry.size)
            file.fingerprint = fingerprint(descriptor, file.told_by)
            step.state.files.append(file)

    def _take_on(self, before: LogState, entries: dict[Identity, Entry], step: LogStep) -> None:
        """Files that were not there before: those that are written to, then what rotation left,
        the larger first, as of two copies that is the one that holds more."""
        bases = {file.base for file in before.files}
        for one, ignored in before.known.items():
            if one not in entries and not ignored.missed:
                step.state.known[one] = replace(ignored, missed=True)
        for entry in sorted(entries.values(), key=lambda entry: (not entry.primary, -entry.size)):
            if self._is_taken(entry, before, step) or not entry.readable:
                continue
            if entry.primary:
                self._follow_new(entry, step)
            elif entry.base not in bases:
                self._ignore(entry, step)
            elif entry.size:
                self._follow_rotated(entry, entries, step)

    def _is_taken(self, entry: Entry, before: LogState, step: LogStep) -> bool:
        """Whether a file is followed, or known to hold nothing new."""
        one = entry.identity
        known = before.known.get(one)
        if one in step.state.known or any(file.identity == one for file in step.state.files):
            return True
        if known is None or not self._is_same(entry, known):
            return False
        step.state.known[one] = replace(known, missed=False) if known.missed else known
        step.marks |= {TOO_MANY} if entry.primary else set()
        return True

    def _has_room(self, step: LogStep) -> bool:
        if len(step.state.files) < FILES_MAX:
            return True
        step.marks.add(TOO_MANY)
        return False

    def _follow_new(self, entry: Entry, step: LogStep) -> None:
        if self._has_room(step):
            step.state.files.append(Followed(entry.identity, entry.base, primary=entry.primary))
        else:
            self._ignore(entry, step)

    def _follow_rotated(self, entry: Entry, entries: dict[Identity, Entry], step: LogStep) -> None:
        """A rotated file that no scan has seen under its log's name, or a copy of one that has
        not been truncated (yet)."""
        descriptor = self._opened(entry)
        if descriptor is None:
            return
        for file in step.state.files:
            original = (
                self._open(file.identity, entries.get(file.identity))
                if file.base == entry.base
                else None
            )
            if original is None or entry.size > os.fstat(original).st_size:
                continue
            if begins_alike(descriptor, entry.size, original):
                step.copies.append((entry, file))
                return
        self._follow_new(entry, step)

    def _ignore_copies(self, step: LogStep) -> None:
        """Of what is being read; of a file of which nothing was, its copy may be all that is left
        the next time."""
        for entry, file in step.copies:
            if file.position.offset:
                self._ignore(entry, step)

    def _is_same(self, entry: Entry, known: Ignored) -> bool:
        """Whether a number still stands for the file that was ignored; it is read again only when
        the file's status has changed."""
        looked = self._looked_at.get(entry.identity)
        if looked is None or looked[0] != entry.changed_ns:
            same = self._heads(entry, known)
            looked = self._looked_at[entry.identity] = (entry.changed_ns, same)
        return looked[1]

    def _ignore(self, entry: Entry, step: LogStep) -> None:
        """An empty file is not remembered: there is nothing to know it by."""
        descriptor = self._opened(entry)
        if descriptor is not None and entry.size:
            length, head = head_print(descriptor, entry.size)
            step.state.known[entry.identity] = Ignored(length, head)
            self._looked_at[entry.identity] = (entry.changed_ns, True)

    def _read(
        self, entries: dict[Identity, Entry], take: TakeLines, step: LogStep, elapsed_ms: int
    ) -> None:
        """Rotated files first, then those that are written to."""
        budget = self._budget_bytes
        files, step.state.files = step.state.files, []
        for file in sorted(files, key=lambda file: file.primary):
            entry = entries.get(file.identity)
            descriptor = self._open(file.identity, entry)
            if descriptor is None:
                step.state.files.append(file)
                continue
            budget -= self._read_one(file, descriptor, take, step, max(budget, 0), elapsed_ms)
            status = os.fstat(descriptor)
            quiet_ms_max = QUIET_MS_MAX if status.st_nlink else DELETED_QUIET_MS_MAX
            if file.primary or not file.drained or file.quiet_ms < quiet_ms_max:
                step.state.files.append(file)
            elif entry is not None:
                self._ignore(entry, step)

    def _read_one(
        self, file: Followed, descriptor: int, take: TakeLines, step: LogStep, budget: int,
        elapsed_ms: int,
    ) -> int:  # fmt: skip
        size = os.fstat(descriptor).st_size
        piece = read_lines(descriptor, file.position, take, budget=budget)
        before = file.told_by
        file.position = piece.position
        file.quiet_ms = 0 if size != file.seen else file.quiet_ms + elapsed_ms
        file.seen = max(size, file.position.offset)
        if file.told_by != before or not file.fingerprint:
            file.fingerprint = fingerprint(descriptor, file.told_by)
        file.drained = piece.drained or file.position.offset >= file.seen
        step.overlong += piece.overlong
        if not file.drained:
            step.marks.add(BEHIND)
        return piece.bytes_read


def _taken(same: list[Entry], free: dict[Identity, Entry]) -> Identity | None:
    """The one that is written to, where several hold the same."""
    if not same:
        return None
    entry = max(same, key=lambda entry: (entry.primary, entry.size))
    del free[entry.identity]
    return entry.identity
