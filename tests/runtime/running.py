"""An installation as `manage.py up` starts it, in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.runtime.home import REPOSITORY, Home, remove_servers_data

FROM_A_RUN = ("DATABASE_URL", "APP_DATABASE_URL", "ADMIN_DATABASE_URL", "REDIS_URL", "SECRET_KEY")
START_TIMEOUT_S = 180
NONE: Mapping[str, str] = MappingProxyType({})


class Running:
    """An installation in a folder of its own, on servers of its own or on those that are given."""

    def __init__(self, folder: Path, given: Mapping[str, str] = NONE) -> None:
        self.home = Home(folder)
        self.said = ""
        kept = {name: text for name, text in os.environ.items() if name not in FROM_A_RUN}
        self.environment = kept | dict(given) | {"HOSTMETER_HOME": str(folder)}

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_TIMEOUT_S,
        )

    def start(self) -> None:
        started = self.manage("up", "--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        self.said = started.stdout

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.manage("status", "--json").stdout)
        return status

    def processes(self) -> set[int]:
        """Everything alive that was started for this installation."""
        wanted = f"HOSTMETER_HOME={self.home.folder}".encode()
        folder = os.fsencode(self.home.folder)
        found = set()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environment = (path / "environ").read_bytes().split(b"\0")
                command = (path / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if wanted in environment or folder in command:
                found.add(int(path.name))
        return found - {os.getpid()}


@contextmanager
def started(folder: Path, given: Mapping[str, str] = NONE) -> Iterator[Running]:
    running = Running(folder, given)
    try:
        running.start()
        yield running
    finally:
        running.manage("stop")
        remove_servers_data(running.home.folder)
