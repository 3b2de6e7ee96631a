"""`manage.py up` from nothing to stopped, as a user runs it: one real start for all of these."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.runtime.running import Running, started

pytestmark = pytest.mark.timeout(480)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.1)
    return condition()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("up") / "home") as running:
        yield running


def get(url: str) -> int:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    connection.request("GET", address.path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_tells_addresses_users_password_and_how_to_go_on(running: Running) -> None:
    status = running.status()
    password = (running.home.folder / "env").read_text().split("HOSTMETER_DEMO_PASSWORD=")[1]

    for expected in (
        status["portal"],
        status["admin"],
        status["users"][0]["name"],
        password.split()[0],
        str(running.home.folder),
        "manage.py stop",
        "manage.py up --reset",
        "the fake Stripe at http://127.0.0.1:",
        "Ready in",
    ):
        assert expected in running.said


def test_status_says_that_every_part_runs(running: Running) -> None:
    status = running.status()

    assert status["ready"] is True
    assert {name: part["state"] for name, part in status["parts"].items()} == dict.fromkeys(
        ("postgres", "valkey", "web", "worker", "beat", "fake-stripe", "agent"), "running"
    )
    for user in status["users"]:
        assert set(user) == {"name", "role", "tenant"}


def test_the_portal_and_the_admin_answer(running: Running) -> None:
    status = running.status()

    assert get(status["portal"]) in {200, 302}
    assert get(status["admin"]) in {200, 302}
    assert get(status["portal"] + "health/") == 200


def test_the_database_role_in_the_status_sees_all_tenants_and_changes_nothing(
    running: Running,
) -> None:
    status = running.status()

    with psycopg.connect(status["database"]) as connection:
        known = {slug for (slug,) in connection.execute("SELECT slug FROM tenants_tenant")}
        assert {user["tenant"] for user in status["users"] if user["tenant"]} <= known
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM tenants_tenant")


def test_commands_use_its_servers(running: Running) -> None:
    tenant = next(user["tenant"] for user in running.status()["users"] if user["tenant"])

    done = running.manage("enrolment_token", "--tenant", tenant)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_second_one_is_refused_in_one_line(running: Running) -> None:
    done = running.manage("up")

    assert done.returncode == 1
    assert done.stderr.startswith("hostmeter: already running here at http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_a_part_that_is_killed_comes_back(running: Running) -> None:
    before = running.status()["parts"]["worker"]
    os.kill(before["pid"], signal.SIGKILL)

    restarts = before["restarts"] + 1
    assert wait_until(lambda: running.status()["parts"]["worker"]["restarts"] == restarts, 10)
    assert wait_until(lambda: running.status()["ready"], 60)
    assert "worker: killed by SIGKILL; restart in 1 s" in (running.home.logs / "up.log").read_text()


def test_what_was_killed_as_a_whole_starts_again_with_the_same_data(running: Running) -> None:
    secrets = running.home.secrets.read_text()
    supervisor = next(
        pid
        for pid in running.processes()
        if b"manage.py\0up" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )

    os.kill(supervisor, signal.SIGKILL)

    assert wait_until(lambda: not running.processes(), 10)
    assert running.status()["ready"] is False
    running.start()
    assert running.status()["ready"] is True
    assert running.home.secrets.read_text() == secrets


def test_stop_leaves_nothing_running_and_up_resumes(running: Running) -> None:
    before = running.status()

    done = running.manage("stop")

    assert (done.returncode, done.stdout) == (0, "Stopped.\n")
    assert running.processes() == set()
    assert running.status()["ready"] is False
    assert not running.home.environment.exists()
    running.start()
    after = running.status()
    assert (after["portal"], after["users"]) == (before["portal"], before["users"])
