"""A bound on how long an operator's regular expression may take with a line that others wrote.

Nothing else of the agent runs while an expression is tried, and some take for ever with a line that
was made for it. The expression engine looks for signals as it works, so a timer can stop it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

TICK_SECONDS: Final = 0.1
"""Of processor time, so that a busy host makes no line a slow one. A line that is begun before one
tick and not done with at the next but one is given up: after 0.1 to 0.2 s."""
NOTHING: Final = 0


class TookTooLong(Exception):
    """The line that is being read took too long."""


class Patience:
    """Set `line` to a number that differs from line to line while one is read, and to NOTHING
    after it: TookTooLong is raised only in between."""

    def __init__(self) -> None:
        self.line = NOTHING
        self._seen = NOTHING

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Only the main thread, which is the one that measures, can be stopped by a signal; in
        another one nothing is watched."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._seen = NOTHING
        former = signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, TICK_SECONDS, TICK_SECONDS)
        try:
            yield
        finally:
            self.line = NOTHING
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, former)

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        line, seen = self.line, self._seen
        self._seen = line
        if line != NOTHING and line == seen:
            raise TookTooLong
