"""The agent as a host gets it: one wheel, in a virtual environment that every user may read."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AGENT = Path(__file__).parents[2] / "agent"
# The interpreter below a developer's home cannot be run by the agent's user; Debian's can.
_SYSTEM_PYTHON = Path("/usr/bin/python3")


def host_python() -> str:
    """An interpreter that other users may run, where this machine has one that is new enough."""
    if _SYSTEM_PYTHON.exists():
        version = subprocess.run(
            [_SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        if version.stdout.strip() == "True":
            return str(_SYSTEM_PYTHON)
    return sys.executable


def pip(*words: str | Path) -> None:
    """pip of the wheel that the project itself was installed with, or of the interpreter."""
    wheels = sorted((AGENT.parent / ".venv").glob("pip-*.whl"))
    program: list[str | Path] = [f"{wheels[-1]}/pip"] if wheels else ["-m", "pip"]
    base = getattr(sys, "_base_executable", sys.executable)
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [base, *program, *words, *quiet], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


def built_wheel(folder: Path) -> Path:
    """The wheel, built from a copy so that nothing is left in the source tree."""
    source = folder / "source"
    shutil.copytree(AGENT, source, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
    pip("wheel", "--no-deps", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("hostmeter_agent-*.whl")
    return wheel


@contextmanager
def installed() -> Iterator[Path]:
    """The path of `hostmeter-agent` in a fresh environment that holds nothing but the wheel and
    what that needs."""
    folder = Path(tempfile.mkdtemp(prefix="hostmeter-agent-test-", dir="/opt"))
    try:
        folder.chmod(0o755)
        wheel = built_wheel(folder)
        environment = folder / "venv"
        subprocess.run([host_python(), "-m", "venv", "--without-pip", environment], check=True)
        pip("--python", environment / "bin/python", "install", wheel)
        yield environment / "bin/hostmeter-agent"
    finally:
        shutil.rmtree(folder)


def run(program: Path, *words: str | Path, given: str = "") -> "subprocess.CompletedProcess[str]":
    """One command as an operator types it, without this process's Python settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [program, *words], input=given, capture_output=True, text=True, timeout=120, check=False,
        env=environment, cwd="/",
    )  # fmt: skip
