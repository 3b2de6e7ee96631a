"""A web server in a control group of its own, and what it says that it has answered."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READY_SECONDS: Final = 10
_STOP_SECONDS: Final = 10

_CONFIG: Final = """
master_process off; daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log {folder}/access.log; keepalive_requests 100000000; client_max_body_size 100m;
  client_body_temp_path {folder}/body; root {folder}/www; dav_methods PUT;
  ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{ listen {plain}; listen [::1]:{plain}; }}
  server {{ listen {deferred} deferred; }}
  server {{ listen {tls} ssl; }}
  server {{ listen {plain_h2} http2; }}
  server {{ listen unix:{folder}/settle; access_log off; location / {{ return 204; }} }}
  server {{ listen {tls_h2} ssl http2; }}
}}
"""


def cgroup_root() -> Path:
    """Where the second version of control groups is mounted. Raises RuntimeError."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise RuntimeError("no cgroup2 hierarchy is mounted")


@contextmanager
def control_group(name: str) -> Iterator[Path]:
    """A new group, removed at the end; what ran in it must have ended by then."""
    path = cgroup_root() / f"{name}-{os.getpid()}"
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


@contextmanager
def running_in(group: Path, command: Sequence[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
    """The command, in the group from its first moment on."""
    enter = 'echo $$ > "$1" && shift && exec "$@"'
    process = subprocess.Popen(
        ["/bin/sh", "-c", enter, "sh", group / "cgroup.procs", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Raises RuntimeError when the process ends or does not listen in time."""
    until_s = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")


@dataclass(frozen=True, slots=True)
class WebServer:
    """nginx: /small (100 bytes), /big (300,000) and /upload, which takes a PUT."""

    group: Path
    folder: Path
    plain: int
    deferred: int
    """Accepts a connection only when its first request is there."""
    tls: int
    plain_h2: int
    tls_h2: int

    @property
    def pid(self) -> int:
        return int((self.folder / "nginx.pid").read_text())

    def settle(self) -> None:
        """Wait until all that was asked before is answered and logged: one process serves in order.
        What passes through the socket is no packet, so it is not counted."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "settle"))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while connection.recv(4_096):
                pass

    def answered(self) -> int:
        """Requests in its log."""
        self.settle()
        with (self.folder / "access.log").open("rb") as log:
            return sum(1 for _ in log)

    def forget(self) -> None:
        """Begin the log anew; nginx appends to it."""
        self.settle()
        os.truncate(self.folder / "access.log", 0)


@contextmanager
def web_server(folder: Path, group: Path) -> Iterator[WebServer]:
    """folder: an empty directory for its files."""
    (folder / "www").mkdir(parents=True)
    (folder / "www/small").write_bytes(b"a" * 100)
    (folder / "www/big").write_bytes(bytes(range(250)) * 1_200)
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*make.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = WebServer(group, folder, *free_ports(5))
    config = folder / "nginx.conf"
    ports = {name: getattr(server, name) for name in _PORTS}
    config.write_text(_CONFIG.format(folder=folder, **ports))
    with running_in(group, ["nginx", "-e", folder / "error.log", "-c", config]) as process:
        wait_for_port(server.plain_h2, process)
        yield server


_PORTS: Final = ("plain", "deferred", "tls", "plain_h2", "tls_h2")


def load(url: str, *, seconds: int, keep_alive: bool = True, connections: int = 10) -> None:
    """Requests one after another on each connection. Raises CalledProcessError."""
    headers = [] if keep_alive else ["-H", "Connection: close"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *headers, url]
    subprocess.run(command, check=True, capture_output=True)
