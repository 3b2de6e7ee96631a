"""Pages of intercepted programs, written as the library writes them."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

ROWS = ("file", "socket", "pipe", "device", "other", "network")


@dataclass
class PaperPage:
    """opened, received and sent (bytes of the network) may be changed and written again."""

    pid: int
    start: int = 1000
    parent: int = 1
    opened: dict[str, int] = field(default_factory=dict)
    received: int = 0
    sent: int = 0
    flags: int = 0
    cgroup: bytes = b"0::/\n"
    version: int = 1
    namespace: int = 0

    @property
    def name(self) -> str:
        return f"{self.pid}-{self.start}"

    def write(self, directory: Path) -> None:
        head = struct.pack(
            "=8sIIIIQII16sQ", b"HMTICP01", self.version, 4096, self.pid, self.parent, self.start,
            self.flags, len(self.cgroup), b"app", self.namespace,
        )  # fmt: skip
        rows = b"".join(struct.pack("=QQQqQQQQ", *self._row(kind)) for kind in ROWS)
        body = head.ljust(128, b"\0") + rows
        (directory / self.name).write_bytes(
            (body.ljust(1024, b"\0") + self.cgroup).ljust(4096, b"\0")
        )

    def _row(self, kind: str) -> tuple[int, ...]:
        network = kind == "network"
        read, written = (self.received, self.sent) if network else (7, 7)
        return self.opened.get(kind, 0), 0, 0, 0, read, written, 0, 0
