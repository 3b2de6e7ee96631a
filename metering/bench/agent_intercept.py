"""What the intercepting library costs a web server: wrk against nginx, with it and without.

Needs nginx, wrk and gcc. Both servers stand side by side and are asked in turns, so that what else
the machine does meets both.
"""

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from metering.bench.together import BenchFailed

_AGENT: Final = Path(__file__).parents[2] / "agent"
_LIBRARY: Final = "libhostmeter_intercept.so"
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
_READY_SECONDS_MAX: Final = 10
_CONFIGURATION: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    sendfile on;
    keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{port}; root {folder}/site; }}
}}
"""


@dataclass(frozen=True, slots=True)
class InterceptFigures:
    """Medians over the rounds. per_second: requests; cpu_us: nginx's CPU time per request; each
    without the library and with it; cpu_ratio: with it as a multiple of without, in one round."""

    per_second: tuple[int, int]
    cpu_us: tuple[float, float]
    cpu_ratio: float

    def as_json(self, name: str) -> dict[str, object]:
        return {f"intercept_{name}_{key}": value for key, value in asdict(self).items()}


def intercept_figures(*, rounds: int = 7, seconds: int = 2) -> dict[str, InterceptFigures]:
    """On kept connections ("keep") and on one per request ("close"). Takes 4 * rounds * seconds.
    Raises BenchFailed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        library, pages = _built(folder), folder / "pages"
        pages.mkdir()
        pages.chmod(0o1733)
        folder.chmod(0o755)  # nginx's worker is another user
        preload = {"LD_PRELOAD": str(library), "HOSTMETER_INTERCEPT_DIR": str(pages)}
        servers = [
            stack.enter_context(_nginx(folder / name, variables))
            for name, variables in (("plain", {}), ("intercepted", preload))
        ]
        return {
            name: _medians([_both(servers, seconds, close=close) for _ in range(rounds)])
            for name, close in (("keep", False), ("close", True))
        }


Asked = tuple[int, float]
"""Requests per second, and the server's CPU time in µs for each."""


def _both(servers: list["_Server"], seconds: int, *, close: bool) -> list[Asked]:
    return [_ask(server, seconds, close=close) for server in servers]


def _medians(rounds: list[list[Asked]]) -> InterceptFigures:
    plain, intercepted = zip(*rounds, strict=True)
    return InterceptFigures(
        (round(median(rate for rate, _ in plain)), round(median(rate for rate, _ in intercepted))),
        (round(median(us for _, us in plain), 2), round(median(us for _, us in intercepted), 2)),
        round(median(with_us / us for (_, us), (_, with_us) in rounds), 3),
    )


def _built(folder: Path) -> Path:
    command = [str(_AGENT / "intercept/build"), str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise BenchFailed(f"the library was not built: {error.stderr.strip()}") from error
    return folder / _LIBRARY


@dataclass(frozen=True, slots=True)
class _Server:
    process: "subprocess.Popen[bytes]"
    port: int


@contextmanager
def _nginx(folder: Path, variables: Mapping[str, str]) -> Iterator[_Server]:
    port = _free_port()
    (folder / "site").mkdir(parents=True)
    (folder / "site/index.html").write_text("x" * 600)
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port))
    command = ["nginx", "-p", str(folder), "-c", str(configuration)]
    try:
        process = subprocess.Popen(command, env={**os.environ, **variables})
    except FileNotFoundError as error:
        raise BenchFailed("there is no nginx") from error
    try:
        _wait_for(process, port)
        yield _Server(process, port)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    until_s = time.monotonic() + _READY_SECONDS_MAX
    while time.monotonic() < until_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise BenchFailed("nginx did not start")


def _ask(server: _Server, seconds: int, *, close: bool) -> Asked:
    header = ["-H", "Connection: close"] if close else []
    url = f"http://127.0.0.1:{server.port}/"
    before_us = _cpu_us(server.process.pid)
    try:
        said = subprocess.run(
            ["wrk", "-t1", "-c32", f"-d{seconds}s", *header, url],  # noqa: S607  found as Debian has it
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise BenchFailed(f"wrk did not run: {error}") from error
    used_us = _cpu_us(server.process.pid) - before_us
    found = re.search(r"(\d+) requests in", said)
    if found is None or "Non-2xx" in said:
        raise BenchFailed(f"wrk's answer is not understood: {said}")
    requests = int(found.group(1))
    return requests // seconds, used_us / requests


def _cpu_us(master: int) -> int:
    """The CPU time of a server's workers."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    total_us = 0
    for pid in children:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total_us += (int(fields[11]) + int(fields[12])) * _TICK_US
    return total_us
