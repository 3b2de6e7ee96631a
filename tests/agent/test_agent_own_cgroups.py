"""Processes without a cgroup are moved to one of the agent's: nothing is lost, nothing twice."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.cgroup.cgroup_files import CgroupFs, Mounts
from hostmeter_agent.cgroup.own_cgroups import (
    OwnCgroups,
    OwnCgroupsUnavailable,
    cgroup_of,
    open_moving,
)
from hostmeter_agent.config import Config, parse_config
from hostmeter_agent.measure import baseline
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.measure.scan import Scanner
from hostmeter_agent.opening import open_measuring
from hostmeter_agent.running import system_clock

from tests import needs
from tests.agent.apart import apart
from tests.agent.livecgroups import cgroups, commit, run_in, total

# Burns given CPU times, in children of the same program, then says so and waits for a line; again.
TREE = """
import os, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
print(flush=True)
for word in sys.argv[1:]:
    for _ in range(20):
        burn(float(word) / 20)
        if not os.fork():
            burn(0.005)
            os._exit(0)
        os.wait()
    print(time.process_time_ns() // 1_000, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def tree(folder: Path, name: str, *seconds: float) -> Iterator["subprocess.Popen[str]"]:
    """A program in a tree of its own, and no child of the agent's."""
    path = folder / f"{name}.py"
    path.write_text(TREE)
    # What waits for it is metered with it by the kernel, so that has to cost next to nothing.
    setsid = needs.tool("setsid", package="util-linux")
    words = [setsid, "--fork", "--wait", sys.executable, str(path), *map(str, seconds)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        if child.stdin is not None and not child.stdin.closed:
            child.communicate("\n" * 9)


def line_of(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def say_go_on(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def rusage_us(child: "subprocess.Popen[str]") -> int:
    """What the kernel says that the whole tree has used, at its end."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n" * 9)
    child.stdin.close()
    child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return int((used.ru_utime + used.ru_stime) * 1_000_000)


RULES = """
    own_cgroups = true
    [[application]]
    name = "mover-one"
    process = "mover-one"
"""
"""Beside it, applications of the machine itself are moved too: only those of this test are named
in what it makes, and it removes them all."""


@pytest.fixture
def own() -> Iterator[None]:
    needs.root()
    hierarchy = needs.cgroup2()
    yield
    root = hierarchy / "hostmeter"
    for path, folders, _ in os.walk(root, topdown=False):
        for name in folders:
            folder = Path(path) / name
            for pid in (folder / "cgroup.procs").read_text().split():
                (hierarchy / "cgroup.procs").write_text(pid)
            folder.rmdir()
    if root.exists():
        root.rmdir()


def metering(stored: bytes | None = None) -> Measuring:
    config = parse_config(Path("agent.toml"), RULES)
    measuring = open_measuring(config, instance="here", stored=stored, listener=None)
    return only_those_of_the_test(measuring)


def only_those_of_the_test(measuring: Measuring) -> Measuring:
    """Leave the other processes of this machine where they are."""
    found = measuring.scanner.homeless
    mine = lambda: [(s, n) for s, n in found() if n.startswith("mover-")]  # noqa: E731
    measuring.scanner.homeless = mine  # type: ignore[method-assign]
    return measuring


def stored_state(measuring: Measuring) -> bytes:
    assert measuring.baseline is not None
    return baseline.encode(measuring.baseline)


@pytest.mark.usefixtures("own")
class TestMoving:
    def test_a_tree_is_metered_as_the_kernel_counts_it_before_and_after_its_move(
        self, tmp_path: Path
    ) -> None:
        measuring = metering()
        commit(measuring)
        with tree(tmp_path, "mover-one", 0.2, 0.5) as child:
            line_of(child)
            line_of(child)
            measuring.watch(system_clock())  # moves it
            say_go_on(child)
            line_of(child)
            samples = commit(measuring)
            used = rusage_us(child)
        samples += commit(measuring)
        samples += commit(measuring)
        # The kernel shows what children used before the move in two figures of whole ticks.
        assert total(samples, "mover-one") == pytest.approx(used, abs=25_000)
        assert not Path(f"{needs.cgroup2()}{cgroup_of('mover-one')}").exists()

    def test_an_agent_killed_between_a_move_and_its_step_books_the_move_once(
        self, tmp_path: Path
    ) -> None:
        measuring = metering()
        commit(measuring)
        with tree(tmp_path, "mover-one", 0.3, 0.2) as child:
            line_of(child)
            stored = stored_state(measuring)
            line_of(child)
            measuring.watch(system_clock())
            again = metering(stored)
            samples = commit(again)
            after = stored_state(again)
            say_go_on(child)
            line_of(child)
            last = metering(after)
            samples += commit(last)
            used = rusage_us(child)
        samples += commit(last)
        assert total(samples, "mover-one") == pytest.approx(used, abs=25_000)

    def test_a_cgroup_that_an_administrator_removes_takes_no_more_than_itself(
        self, tmp_path: Path
    ) -> None:
        measuring = metering()
        commit(measuring)
        unified = needs.cgroup2()
        with tree(tmp_path, "mover-one", 0.1) as child:
            line_of(child)
            line_of(child)
            measuring.watch(system_clock())
            step = measuring.measure(system_clock)
            folder = Path(f"{unified}{cgroup_of('mover-one')}")
            for leaf in [path for path in folder.iterdir() if path.is_dir()]:
                for pid in (leaf / "cgroup.procs").read_text().split():
                    Path(f"{unified}/cgroup.procs").write_text(pid)
                leaf.rmdir()
            folder.rmdir()
            measuring.commit(step)
            rusage_us(child)
        assert total(step.samples, "mover-one") > 50_000

    def test_a_process_in_a_cgroup_of_another_maker_stays_there(self, tmp_path: Path) -> None:
        path = tmp_path / "mover-one.py"
        path.write_text(TREE)
        with cgroups() as made:
            folder = made.make("web")
            child = run_in(folder, [sys.executable, str(path), "0.01"])
            measuring = metering()
            commit(measuring)
            line_of(child)
            line_of(child)
            measuring.watch(system_clock())
            commit(measuring)
            assert len((folder / "cgroup.procs").read_text().split()) == 1
            child.communicate("\n" * 9)

    def test_children_that_are_the_same_application_stay_and_others_get_their_own(
        self, tmp_path: Path
    ) -> None:
        measuring = metering()
        commit(measuring)
        other = tmp_path / "mover-two.py"
        other.write_text("print(flush=True)\nimport sys\nsys.stdin.readline()\n")
        code = "import os, sys\nprint(flush=True)\nsys.stdin.readline()\n"
        code += f"os.spawnlp(os.P_WAIT, {sys.executable!r}, 'python', {str(other)!r})\n"
        path = tmp_path / "mover-one.py"
        path.write_text(code)
        words = apart(sys.executable, str(path))
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            line_of(child)
            measuring.watch(system_clock())
            say_go_on(child)
            line_of(child)
            measuring.watch(system_clock())
            gauges = measuring.measure(system_clock).held.scanned
            assert measuring.moving is not None
            owners = sorted(measuring.moving.own.owners.values())
            child.communicate("\n")
        assert owners == ["mover-one", "mover-two"]
        assert (gauges["mover-one"].processes, gauges["mover-two"].processes) == (1, 1)


# Makes the agent's cgroup and puts itself into one below it and back.
MAKER = """
import os
from pathlib import Path
from hostmeter_agent.cgroup.cgroup_files import CgroupFs, parse_mounts
from hostmeter_agent.cgroup.own_cgroups import OwnCgroups, OwnCgroupsUnavailable
from hostmeter_agent.measure.proc import ProcFs
mounts = parse_mounts(Path("/proc/self/mounts").read_text())
try:
    OwnCgroups(ProcFs(Path("/proc")), CgroupFs(mounts))
except OwnCgroupsUnavailable as error:
    print(error)
else:
    folder = mounts.unified / "hostmeter" / f"test-{os.getpid()}"
    folder.mkdir()
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    (mounts.unified / "cgroup.procs").write_text(str(os.getpid()))
    folder.rmdir()
    print("made")
"""


class TestWhereItMayNot:
    def test_without_cgroup2_the_agent_says_so_and_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        proc = ProcFs(Path("/proc"))
        files = CgroupFs(Mounts(None, None, None))
        assert open_moving(Scanner(proc, files, Config(), os.getpid())) is None
        assert "no own cgroups (no cgroup2 hierarchy is mounted)" in caplog.text

    def test_where_the_hierarchy_cannot_be_written_the_agent_says_so_and_goes_on(self) -> None:
        files = CgroupFs(Mounts(Path("/proc/self"), None, None))
        with pytest.raises(OwnCgroupsUnavailable, match="/proc/self/hostmeter: "):
            OwnCgroups(ProcFs(Path("/proc")), files)

    @pytest.mark.parametrize(
        ("rights", "said"),
        [
            ("+dac_read_search,+sys_ptrace", "; needs ProtectControlGroups=no"),
            ("+dac_read_search,+sys_ptrace,+dac_override", "made"),
        ],
    )
    @pytest.mark.usefixtures("own")
    def test_the_services_user_needs_one_more_right_and_is_told(
        self, rights: str, said: str
    ) -> None:
        setpriv = needs.tool("setpriv", package="util-linux")
        done = subprocess.run(
            [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
             f"--inh-caps=-all,{rights}", f"--ambient-caps=-all,{rights}",
             f"--bounding-set=-all,{rights}", sys.executable, "-c", MAKER],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


def test_names_of_cgroups_are_safe_and_never_one_for_two_applications() -> None:
    assert cgroup_of("shop") != cgroup_of("shop ")
    assert cgroup_of("a/../b") == "/hostmeter/a_.._b-" + cgroup_of("a/../b")[-8:]
    assert len(cgroup_of("x" * 200)) < 90
