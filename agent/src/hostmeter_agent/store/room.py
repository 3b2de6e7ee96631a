"""Room for the spool: how much it may take, and a reserve for when the disk is full.

Delivering needs some room, too: a batch is fixed, and what was acknowledged is deleted. A file that
holds nothing keeps that room. While it is given up nothing new is stored, so that what frees room
always finds some.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 2 * 1024 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NEARLY_PERCENT: Final = 80
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Bounds:
    """How old fine windows may grow, and how large the spool."""

    days_max: int = 30
    megabytes_max: int = 500

    @property
    def bytes_max(self) -> int:
        return self.megabytes_max * 1_000_000

    def is_nearly_full(self, used_bytes: int) -> bool:
        return used_bytes * 100 >= self.bytes_max * _NEARLY_PERCENT

    def is_nearly_too_old(self, age_seconds: float) -> bool:
        return age_seconds * 100 >= self.days_max * _DAY_SECONDS * _NEARLY_PERCENT


@dataclass(frozen=True, slots=True)
class Reserve:
    """The file beside the spool that holds room for delivering."""

    path: Path

    def missing(self) -> str:
        """Put it in place; "" when it is there, else why it cannot be."""
        if self.path.exists():
            return ""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            return "the disk is full" if error.errno in _FULL else str(error.strerror)
        return ""

    def give_up(self) -> None:
        self.path.unlink(missing_ok=True)
