"""File systems that a test mounts, and their end."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import needs

_MS_RDONLY, _MS_REMOUNT, _MNT_DETACH = 1, 32, 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    """A file system in memory, on a directory."""
    needs.capability("CAP_SYS_ADMIN")
    refused = _mount(path, options)
    if refused:
        needs.lacking(f"needs a small disk: mounting a tmpfs: {refused}")
    try:
        yield path
    finally:
        unmount(path)


def make_read_only(path: Path) -> None:
    assert _mount(path, "", _MS_REMOUNT | _MS_RDONLY) == ""


def make_writable(path: Path) -> None:
    assert _mount(path, "", _MS_REMOUNT) == ""


def _mount(path: Path, options: str, flags: int = 0) -> str:
    """ "" or why the kernel refuses."""
    done = _libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, options.encode())
    return os.strerror(ctypes.get_errno()) if done else ""


def unmount(path: Path) -> None:
    """Also where something is still open below it."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), "unmounting", str(path))
