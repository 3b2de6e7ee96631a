"""Waiting that ends early: when a child ends, or when we are asked to stop."""

import contextlib
import os
import select
import signal
from types import FrameType


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP came; not an Exception, so that nothing takes it for an error."""


class Waiting:
    """Turns signals into the end of a `pause`. One for the process; used from the main thread."""

    def __init__(self) -> None:
        self.requests = 0
        self._accepted = 0
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def install(self) -> None:
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.requests += 1

    def pause(self, seconds: float) -> None:
        """Wait for a signal or the time, whichever is first. Raises StopRequested."""
        self.check()
        select.select([self._reader], [], [], max(seconds, 0))
        self._drain()
        self.check()

    def readable(self, descriptor: int) -> bool:
        """Wait until the descriptor can be read or a signal comes. Raises StopRequested."""
        self.check()
        ready = select.select([descriptor, self._reader], [], [])[0]
        self._drain()
        self.check()
        return descriptor in ready

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def check(self) -> None:
        if self.requests > self._accepted:
            raise StopRequested

    def accept(self) -> None:
        """The request is being carried out; only a further one interrupts the next pause."""
        self._accepted = self.requests
