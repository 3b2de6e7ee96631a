"""A program and a machine to install it on, below a folder that another user may read."""

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import needs
from tests.agent import installed
from tests.agent.loopback import Contract

USER = "hostmeter-agent"


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    needs.root()
    needs.tool("useradd", package="passwd")
    with installed.installed() as path:
        yield path


@pytest.fixture
def root() -> Iterator[Path]:
    """A system that nothing runs on, as an image builder has it. The agent's user has to reach its
    state there, which below pytest's own directory it may not."""
    needs.root()
    made = Path(tempfile.mkdtemp(prefix="hostmeter-root-", dir="/opt"))
    made.chmod(0o755)
    for folder in ("etc", "var/lib", "run", "sys/fs/bpf"):
        (made / folder).mkdir(parents=True)
    (made / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (made / "etc/group").write_text("root:x:0:\n")
    (made / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (made / "etc/gshadow").write_text("root:*::\n")
    yield made
    shutil.rmtree(made)


@contextmanager
def mounted(*words: str | Path) -> Iterator[None]:
    """What mount(8) is told, its last word being where."""
    subprocess.run(["mount", *words], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", words[-1]], check=True)


def content_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def install(program: Path, root: Path, url: str, *words: str) -> str:
    """Set the root up against a server that takes the token; what was said."""
    done = installed.run(
        program, "install", "--root", root, "--server", url, "--token", "token-1", *words
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def public_key(contract: Contract) -> bytes:
    return base64.b64decode(str(contract.enrolled["public_key"]))


def refused(done: "subprocess.CompletedProcess[str]", reason: str) -> None:
    assert done.returncode == 1, done.stdout
    assert reason in done.stderr
    assert done.stderr.startswith("hostmeter-agent: ")
    assert done.stderr.count("\n") == 1
