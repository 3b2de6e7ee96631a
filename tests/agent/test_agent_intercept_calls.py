"""Each hooked call answers, with the library, what it answers without, and is counted exactly."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import needs
from tests.agent import mounts
from tests.agent.interception import (
    LIBRARY_NAME,
    Row,
    Whole,
    built,
    calls,
    environment,
    library,
    open_to_all,
    read_pages,
)

SOURCE = Path(__file__).parents[2] / "agent/intercept"
CASES = [
    line.split('"')[1]
    for file in sorted((Path(__file__).parent / "intercept").glob("calls_*.c"))
    for line in file.read_text().splitlines()
    if line.startswith('    {"')
]
RIGHTS = {"watches": ["CAP_SYS_ADMIN"]}
# Standard input is /dev/null, output and error are pipes.
OPEN_BEFORE = {"device": 1, "pipe": 2}


@dataclass
class Outcome:
    """What a case did: all that a user of the program can see, and the pages."""

    visible: tuple[int, bytes, bytes]
    pages: list[Whole]


def run(case: str, *, intercepted: bool, prefix: tuple[str, ...] = ()) -> Outcome:
    with open_to_all(0o777) as work, open_to_all(0o1733) as pages:
        done = subprocess.run(
            [*prefix, calls(), case, work], env=environment(pages, intercepted=intercepted),
            stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=60,
        )  # fmt: skip
        return Outcome((done.returncode, done.stdout, done.stderr), read_pages(pages))


def expected(case: str) -> dict[str, list[int]]:
    text = subprocess.run(
        [calls(), "--expected", case], capture_output=True, text=True, check=True
    ).stdout
    return {words[0]: [int(n) for n in words[1:]] for words in map(str.split, text.splitlines())}


def counted(row: Row) -> list[int]:
    return [
        row.opened, row.duplicated, row.closed, row.read, row.written, row.accepted, row.connected
    ]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_call_answers_the_same_and_is_counted(case: str) -> None:
    needs.capability(*RIGHTS.get(case, []))
    plain, intercepted = run(case, intercepted=False), run(case, intercepted=True)
    assert plain.pages == []
    assert intercepted.visible == plain.visible
    sums = {kind: [0] * 7 for kind in expected(case)}
    for page in intercepted.pages:
        for kind, row in page.rows.items():
            sums[kind] = [a + b for a, b in zip(sums[kind], counted(row), strict=True)]
    assert sums == {kind: values[:7] for kind, values in expected(case).items()}
    left = {kind: values[7] + OPEN_BEFORE.get(kind, 0) for kind, values in expected(case).items()}
    first = next(page for page in intercepted.pages if page.page.parent == os.getpid())
    assert {kind: row.open for kind, row in first.rows.items()} == left


def test_every_case_of_the_program_is_run() -> None:
    listed = subprocess.run([calls(), "--list"], capture_output=True, text=True, check=True).stdout
    assert sorted(CASES) == sorted(listed.split())


def functions(file: Path, kind: str) -> set[str]:
    """kind: T for those that it has, U for those that it takes from others."""
    command = [needs.tool("nm", package="binutils"), "-D", str(file)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split()[-2:] for line in listed.splitlines()]
    return {name.partition("@")[0] for found, name in lines if found == kind}


def test_every_hooked_call_is_made_by_some_case() -> None:
    hooked = functions(library(), "T")
    assert len(hooked) > 100
    assert hooked <= functions(calls(), "U")


# Lays, as another user who has guessed right, a page in the way of the process that it is itself,
# and becomes the program.
_SQUATTING = """
import os, struct, sys
pages, program, *arguments = sys.argv[1:]
pid, start = os.getpid(), int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
head = struct.pack("=8sIIIIQ", b"HMTICP01", 1, 4096, pid, 1, start)
name = f"{pages}/{pid}-{start}"
with open(name, "wb") as file:
    file.write(head.ljust(4096, b"\\0"))
os.chown(name, 65534, 65534)
os.chmod(name, 0o666)
os.environ["LD_PRELOAD"] = os.environ.pop("LIBRARY")
os.execv(program, [program, *arguments])
"""


def test_a_page_that_another_user_laid_out_is_not_counted_in() -> None:
    """He could shorten it, and the program would get a signal."""
    with open_to_all(0o1777) as pages, open_to_all() as work:
        given = dict(environment(pages))
        given["LIBRARY"] = given.pop("LD_PRELOAD")
        subprocess.run(
            [sys.executable, "-c", _SQUATTING, pages, calls(), "opens", work],
            env=given, stdin=subprocess.DEVNULL, check=True, capture_output=True,
        )  # fmt: skip
        laid, own = read_pages(pages)
        assert (laid.page.owner, laid.page.opened) == (65_534, (0, 0, 0, 0, 0))
        assert own.page.owner == 0
        assert own.page.opened[0] > 0


class TestAProgramThatCannotBeCounted:
    def test_runs_as_without_the_library_where_there_is_no_directory(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [calls(), "opens", tmp_path],
            env=environment(tmp_path / "absent"),
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == run(
            "opens", intercepted=False
        ).visible

    def test_runs_as_without_the_library_where_it_may_not_write(self) -> None:
        needs.root()
        setpriv = needs.tool("setpriv", package="util-linux")
        with open_to_all(0o777) as work, open_to_all(0o755) as pages:
            done = subprocess.run(
                [setpriv, "--reuid=65534", "--clear-groups", calls(), "opens", work],
                env=environment(pages), stdin=subprocess.DEVNULL, check=False, capture_output=True,
            )  # fmt: skip
            assert [page.name for page in read_pages(pages)] == ["setpriv"]
        assert (done.returncode, done.stdout, done.stderr) == run(
            "opens", intercepted=False
        ).visible

    def test_gets_no_signal_where_it_may_write_no_file_of_that_size(self) -> None:
        prlimit = needs.tool("prlimit", package="util-linux")
        limited = run("opens", intercepted=True, prefix=(prlimit, "--fsize=100"))
        assert limited.visible == run("opens", intercepted=False).visible

    def test_runs_where_the_directory_is_full(self) -> None:
        with (
            open_to_all() as pages,
            open_to_all(0o777) as work,
            mounts.tmpfs(pages, "size=4k,nr_inodes=4"),
        ):
            (pages / "filler").write_bytes(bytes(4096))
            done = subprocess.run(
                [calls(), "opens", work], env=environment(pages), stdin=subprocess.DEVNULL,
                check=False, capture_output=True,
            )  # fmt: skip
            assert read_pages(pages) == []
        assert (done.returncode, done.stdout, done.stderr) == run(
            "opens", intercepted=False
        ).visible


class TestTheBuild:
    def test_makes_equal_bytes_of_equal_sources(self, tmp_path: Path) -> None:
        needs.compiler()
        for name in "ab":
            built(SOURCE / "build", str(tmp_path / name))
        first, second = ((tmp_path / name / LIBRARY_NAME).read_bytes() for name in "ab")
        assert first == second

    def test_is_clean_under_clang(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        needs.compiler()
        monkeypatch.setenv("CC", needs.tool("clang", package="clang"))
        built(SOURCE / "build", str(tmp_path))
        assert (tmp_path / LIBRARY_NAME).exists()


class TestThePage:
    def test_is_its_owners_alone(self) -> None:
        with open_to_all(0o777) as work, open_to_all(0o1733) as pages:
            subprocess.run([calls(), "opens", work], env=environment(pages), check=True)
            modes = [file.stat().st_mode & 0o777 for file in pages.iterdir()]
        assert modes == [0o600]

    def test_names_the_program_and_no_more(self) -> None:
        page = run("opens", intercepted=True).pages[0]
        assert page.name == "calls"
        assert page.page.cgroup == Path("/proc/self/cgroup").read_bytes()[:1024]

    @pytest.mark.parametrize(
        ("case", "uncounted"),
        [
            ("sends", False), ("streams", False), ("numbers_of_hosts", False),
            ("names_of_hosts", True), ("stream_of_a_connection", True),
        ],
    )  # fmt: skip
    def test_says_when_network_bytes_may_be_missing(self, case: str, uncounted: bool) -> None:
        assert run(case, intercepted=True).pages[0].page.network_uncounted == uncounted
