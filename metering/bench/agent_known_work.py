"""One process of the known work: reads, writes and computes until it is stopped."""

import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

_FOLDER = "/tmp"  # noqa: S108  a file without a name
_PR_SET_PDEATHSIG = 1
_SIZE_MAX = 8_192


def main(number: int) -> NoReturn:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    file = os.open(_FOLDER, os.O_TMPFILE | os.O_RDWR)
    size = 1_000 + number
    while True:
        os.pwrite(file, b"x" * size, 0)
        os.pread(file, size // 2, 0)
        size = size * 31 % _SIZE_MAX + 1
        sum(range(size * 10))
        time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]))
