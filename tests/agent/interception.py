"""The intercepting library and the program that tests it, built once for a run; and programs
started with the library."""

import atexit
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hostmeter_agent.interception import intercept_pages
from hostmeter_agent.interception.intercept_pages import Page

from tests import needs
from tests.agent.pages import ROWS

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
    needs.compiler()
    built(_ROOT / "agent/intercept/build", str(_directory()))
    return _directory() / LIBRARY_NAME


@cache
def calls() -> Path:
    """The test program."""
    needs.compiler()
    built(_ROOT / "tests/agent/intercept/build", str(_directory() / "calls"))
    return _directory() / "calls"


def environment(pages: Path, *, intercepted: bool = True) -> Mapping[str, str]:
    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOSTMETER_INTERCEPT_DIR": str(pages)}
    return {**plain, "LD_PRELOAD": str(library())} if intercepted else plain


class Row(NamedTuple):
    """All that the library counts of one kind of resource."""

    opened: int
    duplicated: int
    closed: int
    open: int
    read: int
    written: int
    accepted: int
    connected: int


@dataclass(frozen=True)
class Whole:
    """A page, and what is in it beyond what the agent reads."""

    page: Page
    name: str
    rows: dict[str, Row]


def read_pages(directory: Path) -> list[Whole]:
    """The pages, in the order in which their processes began."""
    names = sorted(intercept_pages.names(str(directory))[0], key=_start)
    return [_whole(directory, name) for name in names]


def _start(name: str) -> tuple[int, str]:
    return int(name.partition("-")[2].partition(".")[0]), name


def _whole(directory: Path, name: str) -> Whole:
    data = (directory / name).read_bytes()
    rows = {
        kind: Row(*struct.unpack_from("=QQQqQQQQ", data, 128 + index * 64))
        for index, kind in enumerate(ROWS)
    }
    page = intercept_pages.read(str(directory), name, whole=True)
    return Whole(page, data[40:56].split(b"\0")[0].decode(), rows)
