"""The product's parts as processes that a test may kill: web, Celery worker, agent."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
POLL_SECONDS = 0.05


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition that has to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)


class Part:
    """A process in a session of its own, with its children."""

    def __init__(
        self, *arguments: str, descriptors: tuple[int, ...] = (), **variables: str
    ) -> None:
        self._arguments, self._descriptors = arguments, descriptors
        path = os.pathsep.join((str(ROOT), str(ROOT / "agent" / "src")))
        self._environment = os.environ | {"PYTHONPATH": path} | variables
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *self._arguments],
            cwd=ROOT,
            env=self._environment,
            pass_fds=self._descriptors,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def children(self) -> list[int]:
        pid = self._process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]

    def kill_and_restart(self) -> None:
        self.kill()
        self._process = self._started()

    def kill(self) -> None:
        """SIGKILL to the process and all that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def finish(self) -> int:
        """SIGTERM, and its exit status."""
        self._process.terminate()
        return self._process.wait(timeout=60)

    def is_running(self) -> bool:
        return self._process.poll() is None


@contextmanager
def killed_at_last(part: Part) -> Iterator[Part]:
    try:
        yield part
    finally:
        if part.is_running():
            part.kill()


@contextmanager
def web() -> Iterator[tuple[Part, str]]:
    """gunicorn with two workers, as `up` starts it, and its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        part = Part(
            *("gunicorn", "config.wsgi:application"),
            *("--config", "python:config.runtime.gunicorn_conf"),
            *("--bind", f"fd://{listener.fileno()}"),
            descriptors=(listener.fileno(),),
            WEB_CONCURRENCY="2",
            MANIFEST_STATIC="0",
        )
        with killed_at_last(part):
            until(lambda: len(part.children()) == 2)
            yield part, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def celery_worker() -> Iterator[Part]:
    options = ("--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat")
    with killed_at_last(Part("celery", "-A", "config.celery", "worker", *options)) as part:
        yield part


@contextmanager
def counting_agent(folder: Path) -> Iterator[Part]:
    with killed_at_last(Part("tests.scenarios.counting_agent", str(folder))) as part:
        yield part
