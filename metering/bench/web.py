"""The product's web server as `up` starts it, on a free loopback port, and who may enrol there."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from metering.bench.together import BenchFailed
from tenants.models import Environment, Tenant
from tenants.operations import issue_enrolment_token
from tenants.scope import installation_scope, tenant_scope

_WORKERS = 2
START_SECONDS_MAX = 60


class WebServer:
    """A master and its workers. The listening socket outlives them: connections wait for the next
    ones."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.address: tuple[str, int] = listener.getsockname()
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
        command += ["--config", "python:config.runtime.gunicorn_conf"]
        command += ["--bind", f"fd://{self._listener.fileno()}", "--log-level", "warning"]
        environment = os.environ | {
            "WEB_CONCURRENCY": str(_WORKERS),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "0",
            "MANIFEST_STATIC": "0",
            "INGEST_BATCHES_PER_MINUTE_HOST": "10000000",
            "INGEST_BATCHES_PER_MINUTE_TENANT": "100000000",
        }
        return subprocess.Popen(
            command,
            env=environment,
            cwd=Path(settings.BASE_DIR),
            pass_fds=(self._listener.fileno(),),
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_healthy(self) -> None:
        """Raises BenchFailed."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            connection = http.client.HTTPConnection(*self.address, timeout=START_SECONDS_MAX)
            try:
                connection.request("GET", "/health/")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            finally:
                connection.close()
        raise BenchFailed("the web server did not start")

    def kill(self) -> None:
        """SIGKILL to the master and its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_and_restart(self) -> None:
        self.kill()
        self._process = self._started()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def web() -> Iterator[WebServer]:
    """Two workers, and healthy. Raises BenchFailed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        os.set_inheritable(listener.fileno(), True)
        server = WebServer(listener)
        try:
            server.wait_until_healthy()
            yield server
        finally:
            server.stop()


def bench_tenant() -> Tenant:
    with installation_scope():
        tenant, _ = Tenant.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    return tenant


def enrolment_token() -> str:
    """A new one of the bench's own tenant."""
    with tenant_scope(bench_tenant().pk):
        environment, _ = Environment.objects.get_or_create(name="bench")
        return issue_enrolment_token(environment, as_of=timezone.now())
