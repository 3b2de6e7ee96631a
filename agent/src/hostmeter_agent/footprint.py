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

_MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")


def give_back() -> None:
    """To be called while there is one thread: another may be loading a library."""
    gc.collect()
    gc.freeze()  # what is there now stays: no later collection looks at it
    libc = ctypes.CDLL(None)
    trim = getattr(libc, "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(ctypes.c_size_t(0))
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, end in list(_clean_mappings()):
        libc.madvise(start, end - start, mmap.MADV_DONTNEED)


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
