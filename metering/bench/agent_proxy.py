"""A loopback proxy that loses answers: the server has acted, and its client never hears of it."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_RECEIVE_BYTES = 65_536
_SECONDS_MAX = 60
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class LossyProxy:
    """losing: the share of answers, 0 to 1, that are swallowed once they are complete."""

    address: tuple[str, int]
    losing: float
    lost: int = 0
    passed: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, client: socket.socket) -> None:
        """One connection, which holds one request."""
        with client, suppress(OSError):  # either side may be killed at any time
            client.settimeout(_SECONDS_MAX)
            with socket.create_connection(self.address, timeout=_SECONDS_MAX) as server:
                sending = threading.Thread(target=_copy, args=(client, server), daemon=True)
                sending.start()
                answer = b""
                while data := server.recv(_RECEIVE_BYTES):
                    answer += data
                if not self._loses():
                    client.sendall(answer)
                client.shutdown(socket.SHUT_RDWR)
                sending.join()

    def _loses(self) -> bool:
        with self._lock:
            loses = self.losing > 0 and self._chance.random() < self.losing
            self.lost += loses
            self.passed += not loses
        return loses


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_RECEIVE_BYTES):
            target.sendall(data)


@contextmanager
def lossy_proxy(address: tuple[str, int], losing: float) -> Iterator[tuple[str, LossyProxy]]:
    """Its URL, and the proxy to the server at `address`."""
    proxy = LossyProxy(address, losing)
    stopping = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.settimeout(_POLL_SECONDS)

        def accept() -> None:
            while not stopping.is_set():
                with suppress(TimeoutError):
                    client, _ = listener.accept()
                    threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", proxy
        finally:
            stopping.set()
            accepting.join()
