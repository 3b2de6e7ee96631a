"""The test suites of real programs, run with the intercepting library and without it.

`python3 -m tests.agent.intercept_suites` runs the long form (about half an hour): CPython's own
regression tests, Redis's and SQLite's, and prints for each how many tests had the same result.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests import needs
from tests.agent.interception import Whole, built, environment, open_to_all, read_pages

FETCH = Path(__file__).parent / "intercept/fetch"
CPYTHON = "/usr/bin/python3.11"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Some suites refuse to run as root."""

CPYTHON_LONG = """
test_os test_fileio test_subprocess test_threading test_select test_selectors test_eintr test_fcntl
test_signal test_pty test_tempfile test_mmap test_posix test_epoll test_poll test_resource
test_httpservers test_socketserver test_largefile test_tarfile test_zipfile test_shutil
test_openpty test_fork1 test_wait3 test_wait4 test_ftplib
"""
REDIS_LONG = """
unit/type/string unit/type/list unit/protocol unit/expire unit/multi unit/pubsub unit/querybuf
unit/networking unit/introspection unit/keyspace unit/quit unit/aofrw integration/rdb
integration/aof integration/replication-psync integration/redis-cli integration/logging
"""


@dataclass(frozen=True)
class Outcome:
    """What a suite found: how often each test had which result, and what was counted."""

    results: Counter[tuple[str, str]]
    pages: list[Whole]

    @property
    def passed(self) -> int:
        return sum(count for (_, result), count in self.results.items() if result == "ok")


Suite = Callable[[Path, dict[str, str]], Counter[tuple[str, str]]]
"""Runs in a directory and an environment, which tell it nothing of each other."""


def compared(suite: Suite) -> tuple[Outcome, Outcome]:
    """The suite without the library and with it, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(_outcome, suite, intercepted=False)
        intercepted = pool.submit(_outcome, suite, intercepted=True)
        return plain.result(), intercepted.result()


def _outcome(suite: Suite, *, intercepted: bool) -> Outcome:
    with open_to_all(0o777) as work, open_to_all(0o1733) as pages:
        variables = {**environment(pages, intercepted=intercepted), "HOME": str(work)}
        results = suite(work, variables | {"TMPDIR": str(work)})
        return Outcome(results, read_pages(pages))


def _output(command: list[str], work: Path, variables: dict[str, str]) -> str:
    """A failing suite is no error here: its results are compared."""
    done = subprocess.run(
        command, cwd=work, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.stdout.decode(errors="replace")


def cpython(modules: str) -> Suite:
    """Of Debian's package libpython3.11-testsuite."""
    needs.tool(CPYTHON, package="python3.11")
    needs.file("/usr/lib/python3.11/test/test_fileio.py", package="libpython3.11-testsuite")

    def run(work: Path, variables: dict[str, str]) -> Counter[tuple[str, str]]:
        report = work / "report.xml"
        command = [CPYTHON, "-m", "test", "-q", "--junit-xml", str(report), *modules.split()]
        said = _output(command, work, variables)
        assert report.exists(), said
        results: Counter[tuple[str, str]] = Counter()
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  our own tests wrote it
            told = [child.tag for child in case if child.tag in ("skipped", "failure", "error")]
            results[case.attrib["name"], told[0] if told else "ok"] += 1
        return results

    return run


def fetched(package: str, directory: Path) -> Path:
    """The source of an installed Debian package, unpacked."""
    needs.tool("apt-get", package="apt")
    needs.tool(package, package=package)
    built(FETCH, package, str(directory))
    return next(path for path in directory.iterdir() if path.is_dir())


def redis(source: Path, units: str) -> Suite:
    """The suite of the source package against Debian's own programs of the same version."""
    needs.tool("tclsh", package="tcl")
    needs.tool("redis-cli", package="redis-tools")
    for name in ("server", "cli", "benchmark", "check-aof", "check-rdb", "sentinel"):
        (source / f"src/redis-{name}").unlink(missing_ok=True)
        (source / f"src/redis-{name}").symlink_to(f"/usr/bin/redis-{name}")

    def run(work: Path, variables: dict[str, str]) -> Counter[tuple[str, str]]:
        subprocess.run(["cp", "-a", f"{source}/.", work], check=True)
        first_port = 21_000 if "LD_PRELOAD" in variables else 25_000
        chosen = [word for unit in units.split() for word in ("--single", unit)]
        ports = ["--baseport", str(first_port), "--portcount", "2000"]
        command = ["tclsh", "tests/test_helper.tcl", "--clients", "1", *ports, *chosen]
        said = _output(command, work, variables)
        plain = re.sub(r"\x1b\[[0-9;]*m| \(\d+ ms\)", "", said)
        found = re.findall(r"^\[(ok|err|exception|skip|ignore)\]:? ?(.*)$", plain, re.MULTILINE)
        return Counter((name, result) for result, name in found)

    return run


def sqlite(source: Path, script: str = "test/veryquick.test") -> Suite:
    """The suite of the source package, of a build of our own: its test program is in no package."""
    if not (source / "testfixture").exists():
        for command in (["./configure", "--enable-all"], ["make", "testfixture"]):
            subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)

    def run(work: Path, variables: dict[str, str]) -> Counter[tuple[str, str]]:
        said = _output([*NOBODY, f"{source}/testfixture", f"{source}/{script}"], work, variables)
        plain = re.sub(r"\([\d.]+ms\) ", "", said)
        found = re.findall(r"^(\S+)\.\.\. +(Ok|.*)$", plain, re.MULTILINE)
        results = Counter((name, "ok" if result == "Ok" else result) for name, result in found)
        results["errors", re.findall(r"^(\d+) errors out of", plain, re.MULTILINE)[0]] += 1
        return results

    return run


def _report(name: str, suite: Suite) -> bool:
    plain, intercepted = compared(suite)
    differing = (plain.results - intercepted.results) + (intercepted.results - plain.results)
    print(
        f"{name}: {intercepted.passed} tests passed, {plain.passed} without the library", flush=True
    )
    for (test, result), _ in sorted(differing.items()):
        print(f"  only once: {test}: {result}", flush=True)
    return not differing


def main() -> int:
    with open_to_all() as for_redis, open_to_all() as for_sqlite:
        same = [
            _report("CPython", cpython(CPYTHON_LONG)),
            _report("Redis", redis(fetched("redis-server", for_redis), REDIS_LONG)),
            _report("SQLite", sqlite(fetched("sqlite3", for_sqlite))),
        ]
        return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
