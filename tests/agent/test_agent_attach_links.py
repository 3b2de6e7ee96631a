"""`attach` works as root in a directory of the agent's user. Whoever has taken that user over gains
no more than it has, whatever links lie there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostmeter_agent.errors import AgentError
from hostmeter_agent.kernel.file_identity import IdentityRefused, files_as
from hostmeter_agent.kernel.flows import attach_for, pin_directory, unpin

from tests.agent.test_agent_command import SOURCE

USER = 65_534


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state directory of an agent with a user of its own, and a bpffs of its own."""
    bpffs, state = tmp_path / "bpf", tmp_path / "state"
    bpffs.mkdir()
    state.mkdir()
    os.chown(state, USER, USER)
    monkeypatch.setattr(pin_directory, "__kwdefaults__", {"bpffs": bpffs})
    yield state
    subprocess.run(["umount", bpffs], check=True)


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """A directory of root's with one file."""
    directory = tmp_path / "roots"
    directory.mkdir()
    (directory / "secret").write_text("root's")
    return directory


def pins_of(state: Path) -> Path:
    pins = pin_directory(state)
    assert pins is not None
    return pins


def test_a_link_among_the_pins_gives_its_target_away_to_nobody(state: Path, roots: Path) -> None:
    attach_for(state)
    pins = pins_of(state)
    (next(iter(pins.glob("*/"))) / "link").symlink_to(roots / "secret")
    attach_for(state)
    assert (roots / "secret").stat().st_uid == 0
    unpin(pins)


def test_a_linked_directory_among_the_pins_is_not_emptied(state: Path, roots: Path) -> None:
    pins = pins_of(state)
    pins.mkdir(parents=True)
    (pins / "0000").symlink_to(roots)
    with pytest.raises(AgentError, match="eBPF"):
        attach_for(state)
    assert (roots / "secret").read_text() == "root's"


def test_a_link_in_the_place_of_the_pins_is_refused(state: Path, roots: Path) -> None:
    pins = pins_of(state)
    pins.parent.mkdir()
    pins.symlink_to(roots)
    with pytest.raises(AgentError, match="eBPF"):
        attach_for(state)
    assert (roots.stat().st_uid, os.listdir(roots)) == (0, ["secret"])


def test_files_are_made_and_refused_as_that_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "closed").mkdir(mode=0o700)  # readable all the same, as it is for the agent
    with files_as(USER, USER):
        (tmp_path / "made").touch()
        with pytest.raises(PermissionError):
            (tmp_path / "closed" / "made").touch()
    (tmp_path / "closed" / "made").touch()
    assert (tmp_path / "made").stat().st_uid == USER


def test_without_root_nothing_is_done_as_another() -> None:
    program = (
        "from hostmeter_agent.kernel.file_identity import files_as\n"
        "try:\n    files_as(1, 1).__enter__()\n"
        "except Exception as error:\n    print(type(error).__name__)"
    )
    done = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", sys.executable, "-c",
         program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == IdentityRefused.__name__
