"""One log a part, bounded in size, written by the part itself: the supervisor is not in between."""

import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 5 * 1024 * 1024
_TAIL_BYTES = 8192


def open_log(path: Path) -> int:
    """A descriptor that appends, so that the file can be emptied under its writer."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def keep_within_bounds(path: Path, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Move a log that has grown too long to <name>.1, which it replaces. True when it did."""
    if not path.exists() or path.stat().st_size <= bytes_max:
        return False
    previous = path.with_name(path.name + ".1")
    shutil.copyfile(path, previous)
    previous.chmod(0o600)
    os.truncate(path, 0)
    return True


def last_line(path: Path, since: int = 0) -> str:
    """The last line that says something, from byte `since` on; "" when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def contains(path: Path, wanted: bytes, since: int) -> bool:
    """Whether the log says `wanted` from byte `since` on."""
    try:
        with path.open("rb") as file:
            file.seek(since)
            return wanted in file.read(LOG_BYTES_MAX)
    except FileNotFoundError:
        return False
