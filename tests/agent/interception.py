"""The intercepting library and the program that tests it, built once for a run; and programs
started with the library."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hostmeter_agent import intercept_pages
from hostmeter_agent.intercept_pages import Page

_ROOT = Path(__file__).parents[2]
LIBRARY_NAME = "libhostmeter_intercept.so"


@contextmanager
def open_to_all(mode: int = 0o755) -> Iterator[Path]:
    """A directory that other users can reach, as pytest's own are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(mode)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def built(script: Path, *arguments: str) -> str:
    """What a build script says; a failure with what the compiler said."""
    done = subprocess.run([script, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _directory() -> Path:
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    atexit.register(shutil.rmtree, path)
    return path


@cache
def library() -> Path:
    built(_ROOT / "agent/intercept/build", str(_directory()))
    return _directory() / LIBRARY_NAME


@cache
def calls() -> Path:
    """The test program."""
    built(_ROOT / "tests/agent/intercept/build", str(_directory() / "calls"))
    return _directory() / "calls"


def environment(pages: Path, *, intercepted: bool = True) -> Mapping[str, str]:
    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOSTMETER_INTERCEPT_DIR": str(pages)}
    return {**plain, "LD_PRELOAD": str(library())} if intercepted else plain


def read_pages(directory: Path) -> list[Page]:
    """The pages, in the order in which their processes began."""
    names = sorted(intercept_pages.names(str(directory))[0], key=intercept_pages.process_of)
    return [intercept_pages.read(str(directory), name) for name in names]
