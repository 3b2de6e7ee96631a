"""What is known of the files of one log between two scans, and how it is kept."""

from dataclasses import dataclass, field
from typing import Any

from hostmeter_agent.words.lines import PRINT_BYTES, Position
from hostmeter_agent.words.listing import Identity


@dataclass(slots=True)
class Followed:
    """One file and how far it was read. seen: its size then; missed: it was not found last time."""

    identity: Identity
    base: str
    position: Position = field(default_factory=Position)
    fingerprint: str = ""
    seen: int = 0
    primary: bool = True
    drained: bool = True
    missed: bool = False
    quiet_ms: int = 0

    @property
    def told_by(self) -> int:
        """How many of its bytes the fingerprint is of: those that were read, or, before the end
        of its first line, the first ones."""
        return self.position.offset or min(self.seen, PRINT_BYTES)

    def encode(self) -> list[object]:
        place = self.position
        return [
            *self.identity, self.base, place.offset, place.skipping, self.fingerprint, self.seen,
            self.primary, self.drained, self.missed, self.quiet_ms,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that holds nothing new, known by its first bytes."""

    length: int
    head: str
    missed: bool = False


@dataclass(slots=True)
class LogState:
    """What is known of one log's files. known is by device and inode."""

    files: list[Followed] = field(default_factory=list)
    known: dict[Identity, Ignored] = field(default_factory=dict)

    def encode(self) -> dict[str, object]:
        """As JSON."""
        known = [[*one, k.length, k.head, k.missed] for one, k in self.known.items()]
        return {"files": [file.encode() for file in self.files], "known": known}


def decode_log(stored: dict[str, Any]) -> LogState:
    """What LogState.encode() made."""
    state = LogState()
    for device, inode, base, offset, skipping, *rest in stored["files"]:
        state.files.append(Followed((device, inode), base, Position(offset, skipping), *rest))
    for device, inode, *what in stored["known"]:
        state.known[device, inode] = Ignored(*what)
    return state
