"""Setting a host up with one command, and taking all of it away again."""

import base64
import json
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostmeter_agent.config import ConfigInvalid
from hostmeter_agent.install import config_file
from hostmeter_agent.install.accounts import AccountUnusable, checked_name, find_account
from hostmeter_agent.install.unit import CAPABILITIES, PINS_DIRECTORY, Unit, user_of
from hostmeter_agent.kernel.flows import HostFlows
from hostmeter_agent.store.spool import Spool

from tests import needs
from tests.agent import installed
from tests.agent.livecgroups import cgroups, run_in
from tests.agent.loopback import Contract, Reply, Request, serving

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


class TestInstall:
    def test_sets_the_host_up_and_says_each_step(self, program: Path, root: Path) -> None:
        contract = Contract()
        with serving(contract) as url:
            words = ["--name", "web-7", "--set", "births_seconds=0"]
            said = install(program, root, url, *words).splitlines()
        assert contract.enrolled["name"] == "web-7"
        assert said[0] == f"created the system user {USER}"
        assert said[1].startswith("enrolled as web-7, host ")
        assert said[-1] == f"not started: {root} is not the system that runs here"
        state = root / "var/lib/hostmeter-agent"
        account = find_account(root, USER)
        assert account is not None
        assert 0 < account.uid < 1000
        assert state.stat().st_mode & 0o7777 == 0o700
        assert {path.stat().st_uid for path in (state, *state.iterdir())} == {account.uid}
        assert "births_seconds = 0\n" in (root / "etc/hostmeter-agent/config.toml").read_text()
        unit = (root / "etc/systemd/system/hostmeter-agent.service").read_text()
        assert f"ExecStart={program.parent}/python -m hostmeter_agent run " in unit

    def test_again_is_an_update_that_keeps_identity_and_configuration(
        self, program: Path, root: Path
    ) -> None:
        with serving(Contract()) as url:
            install(program, root, url)
        config = root / "etc/hostmeter-agent/config.toml"
        config.write_text("interval_seconds = 30\n[aliases]\nrubyd = 'shop'\n")
        before = content_of(root)
        again = installed.run(program, "install", "--root", root, "--token", "used-up")
        assert again.returncode == 0, again.stderr
        assert "the token was not used" in again.stdout
        assert f"{config}: stays as it is" in again.stdout
        assert content_of(root) == before
        changed = installed.run(program, "install", "--root", root, "--set", "interval_seconds=15")
        assert f"wrote {config}" in changed.stdout
        assert config.read_text() == "interval_seconds = 15\n[aliases]\nrubyd = 'shop'\n"

    def test_at_a_moved_server_goes_on_under_the_same_identity(
        self, program: Path, root: Path
    ) -> None:
        with serving(Contract()) as url:
            install(program, root, url)
        installed.run(program, "install", "--root", root, "--server", "https://new.example")
        unit = (root / "etc/systemd/system/hostmeter-agent.service").read_text()
        assert "--server https://new.example:443\n" in unit

    def test_takes_the_token_from_standard_input(self, program: Path, root: Path) -> None:
        with serving(Contract()) as url:
            done = installed.run(
                program, "install", "--root", root, "--server", url, "--token-file", "-",
                given="token-1\n",
            )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def test_a_dry_run_prints_the_files_and_touches_nothing(
        self, program: Path, root: Path
    ) -> None:
        before = content_of(root)
        done = installed.run(
            program, "install", "--root", root, "--dry-run", "--server", "http://127.0.0.1:9",
            "--token", "secret-token",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "would create the system user hostmeter-agent" in done.stdout
        assert "AmbientCapabilities=" in done.stdout
        assert "secret-token" not in done.stdout
        assert content_of(root) == before

    def test_says_how_to_start_it_where_systemd_does_not_run(self, program: Path) -> None:
        if Path("/run/systemd/system").is_dir():
            expected = "would start it"
        else:
            expected = "systemd does not run here, so nothing was started; this starts the agent: "
        done = installed.run(
            program, "install", "--dry-run", "--server", "http://127.0.0.1:9", "--token", "t"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith(expected)


class TestRefusals:
    """Each is one line and status 1, and leaves nothing that a repetition would trip over."""

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ([], "is not enrolled yet: give --server and --token"),
            (["--server", "http://127.0.0.1:9"], "is not enrolled yet"),
            (["--server", "meter.example", "--token", "t"], "is not an http:// or https:// URL"),
            (["--server", "http://m.example", "--token", ""], "--token: must hold one token"),
            (["--token-file", "/nowhere"], "/nowhere: No such file or directory"),
            (["--user", "Robert'); --"], "cannot be a user's name"),
            (["--user", "nobody-such"], "there is no user nobody-such"),
            (["--set", "interval_seconds"], "must be KEY=VALUE"),
            (["--set", "interval_seconds=7"], "interval_seconds must divide 300 seconds"),
            (["--set", "speed=9"], "speed is not known"),
            (["--config", "/nowhere.toml"], "/nowhere.toml: No such file or directory"),
        ],
    )
    def test_before_anything_is_touched(
        self, program: Path, root: Path, words: list[str], reason: str
    ) -> None:
        before = content_of(root)
        refused(installed.run(program, "install", "--root", root, *words), reason)
        assert content_of(root) == before

    def test_a_root_that_is_no_directory(self, program: Path, tmp_path: Path) -> None:
        refused(installed.run(program, "install", "--root", tmp_path / "no"), "is no directory")
        refused(installed.run(program, "uninstall", "--root", tmp_path / "no"), "is no directory")

    def test_an_unknown_option_shows_the_usage(self, program: Path) -> None:
        assert installed.run(program, "install", "--purge").returncode == 2

    @pytest.mark.parametrize(
        ("server", "reason"),
        [(None, "The token cannot be used."), ("http://127.0.0.1:9", "Connection refused")],
    )
    def test_a_failed_enrolment_leaves_no_service_and_may_be_repeated(
        self, program: Path, root: Path, server: str | None, reason: str
    ) -> None:
        contract = Contract()
        with serving(contract) as url:
            words = ["install", "--root", str(root), "--server"]
            refused(installed.run(program, *words, server or url, "--token", "wrong"), reason)
            assert not (root / "etc/systemd/system/hostmeter-agent.service").exists()
            done = installed.run(program, *words, url, "--token", "token-1")
        assert done.returncode == 0, done.stderr

    def test_a_user_that_cannot_run_the_agent(self, program: Path, root: Path) -> None:
        folder = program.parent.parent
        folder.chmod(0o700)
        try:
            done = installed.run(
                program, "install", "--root", root, "--server", "http://127.0.0.1:9", "--token", "t"
            )
        finally:
            folder.chmod(0o755)
        refused(done, "install the agent where every user may read it")

    def test_somebody_else_than_root(self, program: Path, root: Path) -> None:
        for word in (["install", "--server", "http://m.example", "--token", "t"], ["uninstall"]):
            done = subprocess.run(
                [program, *word, "--root", root], capture_output=True, text=True, check=False,
                user=65534, group=65534, extra_groups=[], cwd="/", timeout=60,
            )  # fmt: skip
            refused(done, "needs root: run it with sudo")


class TestUninstall:
    @pytest.fixture
    def host(self, program: Path, root: Path) -> Path:
        """A root that the agent is installed on; its server has gone."""
        with serving(Contract()) as url:
            install(program, root, url)
        for made in ("sys/fs/bpf/hostmeter-agent/maps", "run/hostmeter/intercept"):
            (root / made).mkdir(parents=True)
            (root / made / "one").write_bytes(b"x")
        return root

    def spool_path(self, host: Path) -> Path:
        return host / "var/lib/hostmeter-agent/spool.sqlite3"

    def queue(self, host: Path, samples: int = 3) -> None:
        with closing(Spool(self.spool_path(host))) as spool:
            spool.record([{"application": str(n)} for n in range(samples)], b"{}", at=1.0)

    def test_removes_all_of_it(self, program: Path, host: Path) -> None:
        done = installed.run(program, "uninstall", "--root", host)
        assert done.returncode == 0, done.stderr
        assert set(content_of(host)) >= {"etc/passwd", "etc/group"}
        assert not [path for path in host.rglob("*") if "hostmeter" in path.name]
        assert USER not in (host / "etc/passwd").read_text()
        assert USER not in (host / "etc/group").read_text()
        assert "the server still knows this host: retire it there" in done.stdout

    def test_removes_what_counts_in_the_kernel(self, program: Path, host: Path) -> None:
        needs.capability(*needs.EBPF, "CAP_SYS_ADMIN")
        shutil.rmtree(host / "sys/fs/bpf/hostmeter-agent")
        with mounted("-t", "bpf", "bpf", host / "sys/fs/bpf"):
            HostFlows(needs.cgroup2(), host / "sys/fs/bpf/hostmeter-agent/one").close()
            done = installed.run(program, "uninstall", "--root", host)
            assert not (host / "sys/fs/bpf/hostmeter-agent").exists()
        assert f"removed {host}/sys/fs/bpf/hostmeter-agent\n" in done.stdout

    def test_removes_empty_cgroups_and_names_those_in_use(self, program: Path, host: Path) -> None:
        needs.capability("CAP_SYS_ADMIN")
        place = host / "sys/fs/cgroup/unified"
        place.mkdir(parents=True)
        with cgroups() as made, mounted("--bind", made.folder, place):
            for name in ("", "idle", "idle/1.2", "busy", "busy/3.4"):
                made.make(f"hostmeter/{name}")
            child = run_in(made.folder / "hostmeter/busy/3.4", ["sh", "-c", "echo; read line"])
            assert child.stdout is not None
            child.stdout.readline()
            first = installed.run(program, "uninstall", "--root", host)
            left = [path.name for path in (place / "hostmeter").iterdir() if path.is_dir()]
            child.communicate("\n")
            second = installed.run(program, "uninstall", "--root", host)
            assert not (place / "hostmeter").exists()
        assert (first.returncode, left) == (0, ["busy"]), first.stderr
        assert f"left {place}/hostmeter: programs run in it\n" in first.stdout
        assert f"removed {place}/hostmeter\n" in second.stdout

    def test_again_finds_nothing(self, program: Path, host: Path) -> None:
        installed.run(program, "uninstall", "--root", host)
        again = installed.run(program, "uninstall", "--root", host)
        assert (again.returncode, again.stdout) == (0, "nothing is left\n")

    def test_keeps_all_while_usage_is_undelivered(self, program: Path, host: Path) -> None:
        self.queue(host)
        done = installed.run(program, "uninstall", "--root", host)
        refused(done, "3 samples have not reached the server, so nothing was removed")
        assert "Connection refused" in done.stderr
        assert (host / "etc/systemd/system/hostmeter-agent.service").exists()
        assert USER in (host / "etc/passwd").read_text()

    def test_counts_what_is_in_quarantine(self, program: Path, host: Path) -> None:
        with closing(sqlite3.connect(self.spool_path(host))) as connection, connection:
            connection.execute(
                "INSERT INTO quarantine (epoch, sequence, samples, encoding, body, status, reason,"
                " at) VALUES ('e', 1, 5, 'gzip', x'', 422, 'no', 't')"
            )
        refused(installed.run(program, "uninstall", "--root", host), "5 samples have not reached")

    def test_delivers_first_what_can_be_delivered(self, program: Path, root: Path) -> None:
        contract = Contract()
        with serving(contract) as url:
            install(program, root, url)
            contract.public_key = public_key(contract)
            self.queue(root)
            done = installed.run(program, "uninstall", "--root", root)
        assert done.returncode == 0, done.stderr
        assert "delivered the last 3 samples" in done.stdout
        assert len(contract.samples) == 3
        assert not self.spool_path(root).exists()

    def test_gives_usage_up_when_told_to(self, program: Path, host: Path) -> None:
        self.queue(host)
        done = installed.run(program, "uninstall", "--root", host, "--discard-undelivered")
        assert done.returncode == 0, done.stderr
        assert "gave up 3 samples that had not reached the server" in done.stdout
        assert not self.spool_path(host).exists()

    def test_keeps_the_state_when_told_to(self, program: Path, host: Path) -> None:
        self.queue(host)
        done = installed.run(program, "uninstall", "--root", host, "--keep-state")
        assert done.returncode == 0, done.stderr
        assert not (host / "etc/systemd/system/hostmeter-agent.service").exists()
        assert USER in (host / "etc/passwd").read_text()
        with closing(Spool(self.spool_path(host))) as spool:
            assert spool.queued()[0] == 3

    def test_leaves_a_user_that_was_there_before(self, program: Path, root: Path) -> None:
        with (root / "etc/passwd").open("a") as passwd:
            passwd.write("meter:x:990:990::/:/bin/false\n")
        with serving(Contract()) as url:
            install(program, root, url, "--user", "meter")
        done = installed.run(program, "uninstall", "--root", root)
        assert done.returncode == 0, done.stderr
        assert "meter:x:990" in (root / "etc/passwd").read_text()

    def test_does_not_take_the_ground_from_a_running_agent(self, program: Path, host: Path) -> None:
        state = host / "var/lib/hostmeter-agent"
        with subprocess.Popen(
            [program, "run", "--unpinned", "--state", state],
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        ) as running:
            assert running.stderr is not None
            try:
                for line in running.stderr:
                    if "metering host" in line:
                        break
                done = installed.run(program, "uninstall", "--root", host)
            finally:
                running.send_signal(signal.SIGTERM)
                running.stderr.read()
        refused(done, "an agent is running on")


@dataclass
class ThreeWindows(Contract):
    """Settled when the third window has arrived."""

    def store(self, request: Request, body: bytes) -> Reply:
        reply = super().store(request, body)
        if len({json.dumps(sample["window"]) for sample in self.samples}) >= 3:
            self.settled.set()
        return reply


class TestRights:
    """The unit's four capabilities are all that the agent needs."""

    def test_are_enough_as_an_unprivileged_user(self, program: Path, root: Path) -> None:
        needs.capability("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_BPF", "CAP_NET_ADMIN")
        needs.tool("setpriv", package="util-linux")
        contract = ThreeWindows()
        with serving(contract) as url:
            install(program, root, url)
            contract.public_key = public_key(contract)
            (root / "etc/hostmeter-agent/config.toml").write_text(
                "interval_seconds = 1\npush_delay_seconds = 0\n"
            )
            said = self.metered(self.command(program, root), contract)
        assert "no exit records" not in said, said
        usage = [
            sample["usage"]
            for sample in contract.samples
            if sample["application"] == "hostmeter-test-root"
        ]
        assert usage, f"root's process was not metered: {said}"
        last = usage[-1]
        assert isinstance(last, dict)
        # Other users' I/O, descriptors and proportional memory, which only root may read.
        assert {"cpu.time", "file.read", "resources.open.file", "memory.used"} <= last.keys()

    def command(self, program: Path, root: Path) -> list[str | Path]:
        """As the unit runs it, below another root."""
        account = find_account(root, USER)
        assert account is not None
        unit = Unit(f"{program.parent}/python", str(account.uid), str(account.gid))
        words = [
            f"{root}{word}" if word.startswith(("/var", "/etc")) else word
            for word in unit.command_by_hand()
        ]
        return [program.parent / "python", "-c", WITHOUT_WRITABLE_CODE, *words]

    def metered(self, command: list[str | Path], contract: Contract) -> str:
        """Beside a process of root's, until the server has three windows; the agent's log."""
        with (
            subprocess.Popen(["hostmeter-test-root", "60"], executable="/bin/sleep") as other,
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/") as running,
        ):
            try:
                contract.settled.wait(30)
            finally:
                other.kill()
                running.send_signal(signal.SIGTERM)
            assert running.stderr is not None
            return running.stderr.read()


# What MemoryDenyWriteExecute= asks of the kernel (Linux 6.3 and newer).
WITHOUT_WRITABLE_CODE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class TestUnit:
    UNIT = Unit("/opt/my agent/50%/python", "meter", "meter")

    def test_has_the_four_capabilities_and_no_other(self) -> None:
        lines = self.UNIT.text().splitlines()
        for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
            (line,) = [line for line in lines if line.startswith(f"{key}=")]
            assert line == (f"{key}=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_BPF CAP_NET_ADMIN")
        assert len(CAPABILITIES) == 4

    def test_bounds_what_it_takes(self) -> None:
        text = self.UNIT.text()
        for bound in ("MemoryMax=128M", "CPUQuota=25%", "ProtectSystem=strict"):
            assert f"\n{bound}\n" in text
        assert f"ReadWritePaths=-{PINS_DIRECTORY}" in text

    def test_quotes_paths_as_systemd_reads_them(self) -> None:
        assert 'ExecStart="/opt/my agent/50%%/python" -m hostmeter_agent' in self.UNIT.text()

    def test_tells_its_user(self) -> None:
        assert user_of(self.UNIT.text()) == "meter"
        assert user_of("[Service]\n") is None


class TestConfigurationFile:
    def text(self, tmp_path: Path, former: str | None, *values: str) -> str:
        path = tmp_path / "config.toml"
        if former is not None:
            path.write_text(former)
        return config_file.planned_text(path, None, list(values))

    def test_gets_values_before_the_first_table(self, tmp_path: Path) -> None:
        former = "births_seconds = 1 # often\n\n[aliases]\ninterval_seconds = 'x'\n"
        assert self.text(tmp_path, former, "births_seconds=0", "interval_seconds=5") == (
            "births_seconds = 0\ninterval_seconds = 5\n\n[aliases]\ninterval_seconds = 'x'\n"
        )

    def test_takes_text_as_it_is(self, tmp_path: Path) -> None:
        assert 'instance = "web \\"1\\""\n' in self.text(tmp_path, "", 'instance=web "1"')

    def test_that_is_broken_is_told_and_kept(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigInvalid, match="line 1: interval is not known"):
            self.text(tmp_path, "interval = 3\n", "births_seconds=0")


@pytest.mark.parametrize("name", ["", "-x", "Meter", "a b", "a:b", "x" * 33, "ä", "root\n"])
def test_no_user_is_named_like_that(name: str) -> None:
    with pytest.raises(AccountUnusable):
        checked_name(name)
