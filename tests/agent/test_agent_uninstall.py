"""Taking the agent off a host: all of it, and no usage is lost without a word."""

import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hostmeter_agent.kernel.flows import HostFlows
from hostmeter_agent.store.spool import Spool

from tests import needs
from tests.agent import installed
from tests.agent.installing import (
    USER,
    content_of,
    install,
    mounted,
    public_key,
    refused,
)
from tests.agent.livecgroups import cgroups, run_in
from tests.agent.loopback import Contract, serving


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
