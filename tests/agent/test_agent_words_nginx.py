"""Beside a real nginx under load: every request is counted once, however its log is rotated."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words.access_log import AccessLogProbe
from hostmeter_agent.words.config import AccessLog

from tests import needs

TURNS = 30

CONFIGURATION = """
{user}worker_processes 2;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "hello"; }}
        location = /counted {{ stub_status; access_log off; }}
    }}
}}
"""


class Nginx:
    """A master with two workers that log what they serve."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.log = folder / "access.log"
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(CONFIGURATION.format(folder=folder, port=port, user=user))
        program = needs.tool("nginx", package="nginx")
        self.process = subprocess.Popen(
            [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
        )

    def wait_until_ready(self) -> None:
        until = time.monotonic() + 20
        while True:
            assert self.process.poll() is None, (self.folder / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.02)

    def requests(self) -> int:
        """The requests that it has counted itself, without those that ask for the number."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counted") as answer:
            found = re.search(r"\n \d+ \d+ (\d+) ", answer.read().decode())
        assert found is not None
        self.asked = getattr(self, "asked", 0) + 1
        return int(found[1]) - self.asked

    def _workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def _shift(self) -> None:
        for number in range(20, 0, -1):
            old = self.folder / f"access.log.{number}"
            if old.exists():
                old.rename(self.folder / f"access.log.{number + 1}")

    def rename(self) -> None:
        """As logrotate's `create`: nginx writes on into the old file until it reopens."""
        self._shift()
        self.log.rename(self.folder / "access.log.1")
        self.log.touch()
        self.process.send_signal(signal.SIGUSR1)

    def copy_and_truncate(self) -> None:
        """As logrotate's `copytruncate`, while nothing is written: what nginx writes between the
        two steps would be in neither file."""
        workers = self._workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            while any(_state(pid) != "T" for pid in workers):
                pass
            self._shift()
            shutil.copyfile(self.log, self.folder / "access.log.1")
            os.truncate(self.log, 0)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def load(port: int, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """wrk asks for one item after the other until it is interrupted."""
    script = folder / "load.lua"
    script.write_text(
        'local n = 0\nrequest = function() n = n + 1 return wrk.format("GET", "/item/" .. n) end\n'
    )
    words = [
        needs.tool("wrk", package="wrk"),
        "-t1",
        "-c4",
        "-d60s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}",
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    needs.tool("wrk", package="wrk")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Nginx(tmp_path, port)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.mark.parametrize("rotation", ["rename", "copy_and_truncate"])
def test_each_request_is_counted_once_through_rotation_restarts_and_failed_stores(
    nginx: Nginx, rotation: str
) -> None:
    rule = AccessLog("shop", str(nginx.log), "combined", user="remote_addr")
    probe = AccessLogProbe([rule])
    state: object = probe.read(Scan(), None, elapsed_ms=0).state
    counted, marks, users = 0, set[str](), 0
    with load(nginx.port, nginx.folder) as wrk:
        for turn in range(1, TURNS + 1):
            assert wrk.poll() is None
            time.sleep(0.05)
            if turn % 5 == 0:
                getattr(nginx, rotation)()
            readings = probe.read(Scan(), json.loads(json.dumps(state)), elapsed_ms=100)
            if turn % 3 == 0:  # the store failed, and at times the agent was killed
                if turn % 2:
                    probe.close()
                    probe = AccessLogProbe([rule])
                continue
            probe.stored()
            state = readings.state
            counted += readings.counters["shop"]["transactions"]
            users = max(users, readings.maxima["shop"]["users.concurrent"])
            marks |= readings.marks.get("shop", set())
    served = nginx.requests()
    until = time.monotonic() + 20
    while counted < served and time.monotonic() < until:
        readings = probe.read(Scan(), state, elapsed_ms=100)
        probe.stored()
        state = readings.state
        counted += readings.counters["shop"]["transactions"]
        marks |= readings.marks.get("shop", set())
    probe.close()
    assert counted == served
    assert served > 1_000
    assert users == 1
    assert marks <= {"log-copied", "principals-since-less", "log-behind"}
