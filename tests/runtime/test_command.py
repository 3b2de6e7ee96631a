"""`manage.py` as a user meets it, where nothing runs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.runtime.home import REPOSITORY
from config.runtime.secrets_file import GENERATED

MANAGE = REPOSITORY / "manage.py"
FROM_A_RUN = ("DATABASE_URL", "APP_DATABASE_URL", "ADMIN_DATABASE_URL", "REDIS_URL", "SECRET_KEY")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """As in a fresh shell: nothing of this test run's own servers."""
    kept = {name: text for name, text in os.environ.items() if name not in FROM_A_RUN}
    return kept | {"HOSTMETER_HOME": str(tmp_path / "home")}


def manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(MANAGE), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_status_prints_one_object_even_when_nothing_runs(environment: dict[str, str]) -> None:
    done = manage(environment, "status", "--json")

    assert done.returncode == 1
    status = json.loads(done.stdout)
    assert status["ready"] is False
    assert {"portal", "admin", "api", "database", "users", "parts"} <= set(status)


def test_stopping_what_does_not_run_is_no_error(environment: dict[str, str]) -> None:
    done = manage(environment, "stop")

    assert (done.returncode, done.stdout) == (0, "Nothing is running here.\n")


def test_a_reset_without_a_terminal_wants_to_be_confirmed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "env").write_text("".join(f"{name}=mine\n" for name in GENERATED))

    done = manage(environment, "up", "--reset")

    assert done.returncode == 1
    assert done.stderr.startswith("hostmeter: --reset asks before it removes data")
    assert done.stderr.count("\n") == 1
    assert "mine" in (home / "env").read_text()


def test_a_command_that_needs_the_database_says_how_to_get_one(
    environment: dict[str, str],
) -> None:
    done = manage(environment, "enrolment_token", "--tenant", "demo")

    assert done.returncode == 1
    assert done.stderr == (
        "hostmeter: nothing is running here: start it with `python3 manage.py up`,"
        " or set DATABASE_URL\n"
    )


def test_a_command_that_only_reads_the_code_needs_none(environment: dict[str, str]) -> None:
    done = manage(environment, "check")

    assert done.returncode == 0, done.stderr


def test_help_lists_the_commands_of_this_project(environment: dict[str, str]) -> None:
    done = manage(environment, "help")

    assert done.returncode == 0
    for name in ("up", "status", "stop", "test", "fuzz_api", "migrate"):
        assert f"    {name}" in done.stdout


def test_an_option_that_does_not_exist_is_refused(
    environment: dict[str, str],
) -> None:
    done = manage(environment, "up", "--what")

    assert done.returncode == 2
    assert "unrecognized arguments: --what" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_old_python_says_what_is_needed() -> None:
    source = (REPOSITORY / "manage.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    pretend = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path({str(MANAGE)!r}, "

    done = subprocess.run(
        [sys.executable, "-c", pretend + "run_name='__main__')"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "hostmeter: needs Python 3.11 or newer; this is Python 3.9\n"
