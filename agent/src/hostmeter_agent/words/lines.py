"""Reading whole lines of a growing file from a position on, in bounded pieces."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 65_536
_BLOCK_BYTES: Final = 262_144
PRINT_BYTES: Final = 256

TakeLines = Callable[[list[bytes]], None]


@dataclass(slots=True)
class Position:
    """How far a file was read: `offset` is the start of a line, or lies within an overlong one
    that is being skipped."""

    offset: int = 0
    skipping: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """What was read. overlong: lines that were too long to be read; drained: no whole line is
    left."""

    position: Position
    bytes_read: int
    overlong: int
    drained: bool


def read_lines(descriptor: int, start: Position, take: TakeLines, *, budget: int) -> Piece:
    """Hand the whole lines after `start` to `take`, at most about `budget` bytes of them.

    A last line without its newline is left for the next time.
    """
    offset, skipping, overlong = start.offset, start.skipping, 0
    while offset - start.offset < budget:
        block = os.pread(descriptor, _BLOCK_BYTES, offset)
        cut = block.rfind(b"\n") + 1
        if not cut:
            if len(block) <= LINE_BYTES_MAX and not skipping:
                return _piece(start, offset, skipping, overlong, drained=True)
            offset, skipping = offset + len(block), True
            if len(block) < _BLOCK_BYTES:
                return _piece(start, offset, skipping, overlong, drained=True)
            continue
        lines = block[: cut - 1].split(b"\n")
        if skipping:
            lines, skipping, overlong = lines[1:], False, overlong + 1
        whole = [line for line in lines if len(line) <= LINE_BYTES_MAX]
        overlong += len(lines) - len(whole)
        take(whole)
        offset += cut
    return _piece(start, offset, skipping, overlong, drained=False)


def _piece(start: Position, offset: int, skipping: bool, overlong: int, *, drained: bool) -> Piece:
    return Piece(Position(offset, skipping), offset - start.offset, overlong, drained)


def end_of_lines(descriptor: int, size: int) -> Position:
    """The position after the last whole line."""
    first = max(size - LINE_BYTES_MAX, 0)
    tail = os.pread(descriptor, size - first, first)
    cut = tail.rfind(b"\n") + 1
    if cut or first == 0:
        return Position(first + cut)
    return Position(size, skipping=True)


def fingerprint(descriptor: int, offset: int) -> str:
    """What tells a file that was read up to `offset`: its first bytes and those before `offset`.

    A file that ends before `offset` has another one.
    """
    size = min(offset, PRINT_BYTES)
    digest = hashlib.blake2b(os.pread(descriptor, size, 0), digest_size=16)
    digest.update(os.pread(descriptor, size, offset - size))
    return digest.hexdigest()


def head_print(descriptor: int, size: int) -> tuple[int, str]:
    """The number of a file's first bytes that tell it, and their digest."""
    head = os.pread(descriptor, min(size, PRINT_BYTES), 0)
    return len(head), hashlib.blake2b(head, digest_size=16).hexdigest()


def begins_alike(copy: int, copy_size: int, original: int) -> bool:
    """Whether `copy` holds, as far as it goes, what `original` holds."""
    size = min(copy_size, PRINT_BYTES)
    return all(
        os.pread(copy, size, at) == os.pread(original, size, at) for at in (0, copy_size - size)
    )
