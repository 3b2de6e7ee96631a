"""systemctl, where systemd runs."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.install.unit import UNIT_NAME

_BOOTED: Final = Path("/run/systemd/system")
_SECONDS_MAX: Final = 90


class ServiceFailed(AgentError):
    """systemd did not do what was asked; the text says where to look."""


def is_running(root: Path) -> bool:
    """Whether systemd runs the system below `root`: another root's services are not ours."""
    return root == Path("/") and _BOOTED.is_dir() and shutil.which("systemctl") is not None


def is_active() -> bool:
    """Whether the agent's unit is up."""
    return _systemctl("is-active", "--quiet", UNIT_NAME).returncode == 0


def start() -> None:
    """Read the unit anew, enable it and start it afresh. Raises ServiceFailed."""
    for words in (["daemon-reload"], ["enable", "--quiet", UNIT_NAME], ["restart", UNIT_NAME]):
        _must(*words)
    if not is_active():
        raise ServiceFailed(f"{UNIT_NAME} does not stay up: journalctl -u {UNIT_NAME} says why")


def reload() -> None:
    """Read the units anew. Raises ServiceFailed."""
    _must("daemon-reload")


def stop() -> None:
    """Stop the unit, which stores its last window. Raises ServiceFailed."""
    _must("stop", UNIT_NAME)


def disable() -> None:
    """Do not start it at boot any more. Raises ServiceFailed."""
    _must("disable", "--quiet", UNIT_NAME)


def _must(*words: str) -> None:
    done = _systemctl(*words)
    if done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
        raise ServiceFailed(f"systemctl {' '.join(words)}: {said[0]}")


def _systemctl(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [shutil.which("systemctl") or "systemctl", "--no-ask-password", *words]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailed(f"systemctl {' '.join(words)}: {error}") from error
