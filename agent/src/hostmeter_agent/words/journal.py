"""What was acknowledged and is not stored yet, durably: one file, one line an entry.

Its first line names the file and the number after which its entries count. Numbers only grow, so
that whoever stored up to a number knows what is left.
"""

import json
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hostmeter_agent.errors import AgentError

BYTES_MAX: Final = 64 << 20
_COMPACT_BYTES: Final = 1 << 20
_HEAD: Final = "{} {:020d}\n"
_HEAD_BYTES: Final = 32 + 1 + 20 + 1

Entry = tuple[int, list[Any]]


class JournalUnusable(AgentError):
    """The journal cannot be opened or written."""


class Journal:
    """One process's journal. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create it; what a torn write left behind was never acknowledged and goes.
        Raises JournalUnusable."""
        self._path = path
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._load()
        except OSError as error:
            raise JournalUnusable(f"{path}: {error.strerror}") from error

    def _load(self) -> None:
        head, *lines = self._content().split(b"\n")
        words = head.decode("ascii", "replace").split(" ")
        if len(head) != _HEAD_BYTES - 1 or len(words) != 2 or not words[1].isdigit():
            self.name, self._last, self._size = uuid.uuid4().hex, 0, 0
            self._write_anew([])
            return
        self.name, after = words[0], int(words[1])
        self._last, self._size = after, _HEAD_BYTES
        for line in lines[:-1]:
            try:
                number, entry = json.loads(line)
            except ValueError:
                break
            self._size += len(line) + 1
            self._last = max(self._last, number)
            if number > after:
                self._entries.append((number, entry))
        os.ftruncate(self._file, self._size)

    def _content(self) -> bytes:
        pieces = []
        while piece := os.read(self._file, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def append(self, entry: list[Any]) -> None:
        """Keep an entry; it is on disk when this returns. Raises JournalUnusable."""
        with self._lock:
            number = self._last + 1
            line = json.dumps([number, entry], separators=(",", ":")).encode() + b"\n"
            if self._size + len(line) > BYTES_MAX:
                raise JournalUnusable(f"{self._path}: full")
            try:
                written = os.pwrite(self._file, line, self._size)
                if written != len(line):
                    raise JournalUnusable(f"{self._path}: only a part was written")
                os.fdatasync(self._file)
            except OSError as error:
                self._cut()
                raise JournalUnusable(f"{self._path}: {error.strerror}") from error
            except JournalUnusable:
                self._cut()
                raise
            self._last, self._size = number, self._size + len(line)
            self._entries.append((number, entry))

    def _cut(self) -> None:
        # Cutting off fails only with the disk; the next append writes over it.
        with suppress(OSError):
            os.ftruncate(self._file, self._size)

    @property
    def last(self) -> int:
        """The number of the latest entry that ever was."""
        return self._last

    def after(self, number: int) -> list[Entry]:
        """The entries with a higher number, in their order."""
        with self._lock:
            return [entry for entry in self._entries if entry[0] > number]

    def forget(self, number: int) -> None:
        """The entries up to a number are stored elsewhere. Raises JournalUnusable."""
        with self._lock:
            self._entries = [entry for entry in self._entries if entry[0] > number]
            try:
                if self._size > _COMPACT_BYTES or (not self._entries and self._size > 65_536):
                    self._write_anew(self._entries, after=number)
            except OSError as error:
                raise JournalUnusable(f"{self._path}: {error.strerror}") from error

    def _write_anew(self, entries: list[Entry], *, after: int = 0) -> None:
        """Replace the file by one with these entries, in one step."""
        new = self._path.with_name(f"{self._path.name}.new")
        content = _HEAD.format(self.name, after).encode()
        for entry in entries:
            content += json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(file, content) != len(content):
                raise OSError(28, "No space left on device")
            os.fdatasync(file)
            os.rename(new, self._path)
            self._sync_folder()
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._size = file, len(content)

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._file)
