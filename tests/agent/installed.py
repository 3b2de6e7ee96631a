"""The agent as a host gets it: one wheel, in a virtual environment that every user may read."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import needs

AGENT = Path(__file__).parents[2] / "agent"
# The interpreter below a developer's home cannot be run by the agent's user; Debian's can.
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_OTHER_USER = 65_534


def host_python() -> str:
    """An interpreter that is new enough and that other users may run."""
    base = getattr(sys, "_base_executable", sys.executable)
    found = next((path for path in (_SYSTEM_PYTHON, base) if _serves_others(path)), None)
    if found is None:
        needs.lacking(f"{base} cannot be run by other users: apt-get install python3")
    return str(found)


def _serves_others(python: str | Path) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"],
            user=_OTHER_USER, group=_OTHER_USER, extra_groups=[], cwd="/", check=False,
            capture_output=True,
        )  # fmt: skip
    except OSError:
        return False
    return done.returncode == 0


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
    needs.root()
    python = host_python()
    folder = Path(tempfile.mkdtemp(prefix="hostmeter-agent-test-", dir="/opt"))
    try:
        folder.chmod(0o755)
        wheel = built_wheel(folder)
        environment = folder / "venv"
        subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
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
