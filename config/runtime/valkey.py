"""The embedded Valkey: broker and cache. What it loses costs time only; PostgreSQL is the truth."""

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from config.runtime.place import Place
from config.runtime.ports import LOOPBACK
from config.runtime.postgres import SOCKET_PATH_BYTES_MAX
from config.runtime.processes import Command
from config.runtime.supervisor import Part

MEMORY_BYTES_MAX = 256 * 1024 * 1024
THROWAWAY_PROCESSES_MAX = 256


@dataclass(frozen=True)
class Valkey:
    place: Place
    port: int
    password: str
    throwaway: bool = False

    @property
    def data(self) -> Path:
        return self.place.folder / "valkey"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def create(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self.place.account:
            os.chown(self.data, self.place.account.uid, self.place.account.gid)

    def configuration(self) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"dir {_quoted(self.data)}",
            f"maxmemory {MEMORY_BYTES_MAX}",
            # Cache entries expire, queued messages do not: only the former may make room.
            "maxmemory-policy volatile-lru",
            'save ""' if self.throwaway else "save 60 1",
        ]
        if self.throwaway:
            # One for each process of a test run, and as many for what these start.
            lines.append(f"databases {2 * THROWAWAY_PROCESSES_MAX}")
        path = self.data / "socket"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            lines += [f"unixsocket {_quoted(path)}", "unixsocketperm 700"]
        return "\n".join(lines) + "\n"

    def part(self) -> Part:
        command = Command(
            # The configuration comes on standard input: arguments are for everyone to see.
            [str(self.place.programs.valkey), "-"],
            {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            self.place.account,
            folder=self.data,
            standard_input=self.configuration().encode(),
            death_signal=signal.SIGTERM,
        )
        return Part("valkey", command, is_ready=lambda _process: self._answers())

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                return _receive_lines(connection, 2) == [b"+OK", b"+PONG"]
        except OSError:
            return False


def _receive_lines(connection: socket.socket, count: int) -> list[bytes]:
    received = b""
    while received.count(b"\r\n") < count:
        chunk = connection.recv(256)
        if not chunk:
            break
        received += chunk
    return received.split(b"\r\n")[:count]


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
