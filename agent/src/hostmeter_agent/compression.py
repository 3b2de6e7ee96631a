"""How bodies are compressed, with what this Python has."""

import gzip
import importlib
from collections.abc import Callable
from types import ModuleType

Compress = Callable[[bytes], bytes]


def zstd_module() -> ModuleType | None:
    """The standard library's zstd or its backport, where there is one."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def compression() -> tuple[str, Compress]:
    """zstd where this Python has it, gzip otherwise."""
    zstd = zstd_module()
    if zstd is not None:
        return "zstd", zstd.compress
    # No time stamp in the header: the same samples make the same bytes.
    return "gzip", lambda body: gzip.compress(body, 6, mtime=0)
