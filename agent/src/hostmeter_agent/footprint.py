"""Giving back the memory that only the start needed.

Importing touches most pages of the interpreter and its libraries once; the loop that then runs for
months needs a part of them. What is dropped here is clean and in the page cache: a page that is
needed after all is mapped again without a read from the disk.
"""

import ctypes
import gc
import mmap
import re
from collections.abc import Iterator
from typing import Final

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES: Final = 128 * 1024
_MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")


def return_large_blocks() -> None:
    """Have blocks that are freed go back to the system, and one heap for all threads.

    glibc raises its thresholds with the largest block that it has seen: then one large batch in
    the life of an agent would stay with it for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is None:
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, _LARGE_BYTES), (_M_TRIM_THRESHOLD, _LARGE_BYTES), (_M_ARENA_MAX, 1),
    ):  # fmt: skip
        mallopt(parameter, value)


class Libraries:
    """The program files and libraries that are loaded now.

    Most of their pages are touched once, at the start, and a part of the rest at each scan: a few
    milliseconds in ten seconds. In between they need not be resident in this process: they are
    clean and stay in the page cache, from which a page is mapped again without a read.
    """

    def __init__(self) -> None:
        """To be made while there is one thread: another may be loading a library, of which a part
        that the dynamic linker is about to write looks clean."""
        gc.collect()
        gc.freeze()  # what is there now stays: no later collection looks at it
        libc = ctypes.CDLL(None)
        trim = getattr(libc, "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(ctypes.c_size_t(0))
        self._madvise = libc.madvise
        self._madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._mappings = list(_clean_mappings())

    def give_back(self) -> None:
        for start, end in self._mappings:
            self._madvise(start, end - start, mmap.MADV_DONTNEED)


def _clean_mappings() -> Iterator[tuple[int, int]]:
    """Parts of files that are mapped to be read or executed and have no page of our own: where
    the dynamic linker has written (and then made read-only), nothing may be dropped."""
    place: tuple[int, int] | None = None
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _MAPPING.match(line)
            if found is not None:
                is_file = found[4] != "0" and found[3][1] == "-" and found[3][3] == "p"
                place = (int(found[1], 16), int(found[2], 16)) if is_file else None
            elif place is not None and line.startswith("Anonymous:"):
                if line.split()[1] == "0":
                    yield place
                place = None
