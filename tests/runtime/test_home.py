"""The folder of an installation: made private, and never changed where it was there before."""

import os
import stat
from pathlib import Path

import pytest

from config.runtime.failure import CannotRun
from config.runtime.home import Home
from tests.runtime.test_command import environment, manage

__all__ = ["environment"]


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


class TestHome:
    def test_that_is_made_is_closed_to_others(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "new")
        home.make()
        assert mode_of(home.folder) == (0o711 if os.geteuid() == 0 else 0o700)
        assert mode_of(home.run) == 0o700

    def test_that_was_there_keeps_its_mode(self, tmp_path: Path) -> None:
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        Home(folder).make()
        assert mode_of(folder) == 0o1777

    def test_that_is_a_file_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CannotRun, match="should be a folder"):
            Home(tmp_path / "file").make()


@pytest.mark.parametrize("place", ["file/below", "/dev/null/x", "/proc/x"])
@pytest.mark.parametrize("command", ["up", "status", "stop", "shell"])
def test_a_home_that_cannot_be_is_one_line(
    environment: dict[str, str], tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "file").touch()
    done = manage(environment | {"HOSTMETER_HOME": str(tmp_path / place)}, command)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert done.returncode == (0 if command == "stop" and not done.stderr else 1)
