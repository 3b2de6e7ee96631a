"""Says how far it is, where that takes longer than a reader waits without asking."""

import sys
import time
from typing import TextIO

_QUIET_SECONDS = 2.0
_EVERY_SECONDS = 1.0


class Progress:
    """One line on a terminal, written over again; nothing elsewhere."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._next = time.monotonic() + _QUIET_SECONDS
        self._length = 0

    def say(self, words: str) -> None:
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._stream.write(f"\r{words.ljust(self._length)}")
            self._stream.flush()
            self._length = len(words)

    def clear(self) -> None:
        if self._length:
            self._stream.write(f"\r{' ' * self._length}\r")
            self._stream.flush()
            self._length = 0
