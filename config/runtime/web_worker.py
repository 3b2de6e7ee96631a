"""gunicorn's threaded worker, with bounds on how long a client may hold a thread.

gunicorn reads a request in the thread that answers it and waits for the client without limit: a
handful of hosts that lose their network in the middle of an upload would stop the whole product.
"""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

# Between two pieces of a request, and for a whole one: 8 MiB in a minute is 1.1 Mbit/s.
STALL_S: Final = 10.0
REQUEST_S: Final = 60.0

_NO_CONNECTION: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED})


class ClientStalled(ConnectionResetError):
    """Nothing more comes from the client; to gunicorn it is as good as gone."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client has stalled")


class BoundedSocket(socket.socket):
    """A connection whose reads and writes, where they block, end with ClientStalled in time.

    `deadline`, on the monotonic clock, is that of the request being read; a view that has its
    answer already may bring it forward.
    """

    deadline = 0.0

    def setblocking(self, flag: bool, /) -> None:
        # The worker makes a connection blocking when it begins with a request.
        super().setblocking(flag)
        if flag:
            self.deadline = time.monotonic() + REQUEST_S

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if self.gettimeout() == 0:
            return super().recv(size, flags)
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise ClientStalled
        with self._giving_up_after(min(left_s, STALL_S)):
            return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        with self._giving_up_after(REQUEST_S):
            super().sendall(data, flags)

    @contextmanager
    def _giving_up_after(self, seconds: float) -> Iterator[None]:
        timeout = self.gettimeout()
        self.settimeout(seconds if timeout is None else min(seconds, timeout))
        try:
            yield
        except TimeoutError:
            raise ClientStalled from None
        finally:
            self.settimeout(timeout)


class BoundedThreadWorker(ThreadWorker):  # type: ignore[misc]
    """Serves with BoundedSockets."""

    def accept(self, listener: Any) -> None:
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in _NO_CONNECTION:
                return
            raise
        connection = BoundedSocket(fileno=accepted.detach())
        self.nr_conns += 1
        self.enqueue_req(TConn(self.cfg, connection, address, listener.getsockname()))
