"""The doctor tells what can be measured here, why not where it cannot, and what to do."""

import base64
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hostmeter_agent.install import doctor, doctor_delivery, doctor_host, doctor_kernel
from hostmeter_agent.install.findings import Finding, Place
from hostmeter_agent.kernel import flows, network
from hostmeter_agent.kernel.ebpf import EbpfRefused
from hostmeter_agent.kernel.launches import LaunchesUnavailable
from hostmeter_agent.kernel.opens import OpensUnavailable
from hostmeter_agent.server.enrolment import enrol
from hostmeter_agent.store.state import StateDirectory
from hostmeter_agent.wire import QUALITIES

from tests import needs
from tests.agent import mounts
from tests.agent.loopback import Contract, Reply, Request, serving
from tests.agent.test_agent_command import agent

HERE = Place(Path("/nonexistent"))
NEEDED_RIGHTS = {2, 12, 19, 39}


@pytest.fixture
def host(tmp_path: Path) -> Place:
    """A host with one hierarchy, one process and nothing that the kernel refuses."""
    proc, sys_ = tmp_path / "proc", tmp_path / "sys"
    for folder in ("self", "1/fd"):
        (proc / folder).mkdir(parents=True)
    for name in ("stat", "io", "smaps_rollup", "cmdline"):
        (proc / "self" / name).write_text("x")
        (proc / "1" / name).write_text("x")
    if os.geteuid() == 0:
        os.chown(proc / "1", 12345, 12345)
    (proc / "self/mounts").write_text("proc /proc proc rw 0 0\n")
    (proc / "self/status").write_text("CapEff:\t0000008000081004\n")
    sys_.mkdir()
    (tmp_path / "state").mkdir()
    return Place(tmp_path / "state", None, proc, sys_)


def mounted(host: Place, *lines: str) -> None:
    (host.proc / "self/mounts").write_text("".join(f"{line} 0 0\n" for line in lines))


def denied() -> bytes:
    raise PermissionError(13, "Permission denied")


class TestOnThisMachine:
    """Every probe is tried on the kernel that runs, and says one plain line."""

    def test_each_finding_is_one_line_with_a_known_quality(self) -> None:
        done = agent("doctor", "--json")
        report = json.loads(done.stdout)
        assert done.stderr == ""
        assert done.returncode == 0
        assert report["can_meter"] is True
        names = [finding["name"] for finding in report["findings"]]
        assert len(names) == len(set(names)) == len(doctor.CHECKS)
        for finding in report["findings"]:
            assert finding["quality"] in (*QUALITIES, "ok")
            assert finding["reason"]
            assert "\n" not in finding["reason"] + finding["remedy"]

    def test_says_what_cannot_be_done_without_rights(self, tmp_path: Path) -> None:
        """As a user who may read files: what the kernel keeps from it, it says, and what to do."""
        # The interpreter and the agent may stand below root's home.
        right, unprivileged = "-all,+dac_read_search", list[str]()
        if os.geteuid() == 0:
            setpriv = needs.tool("setpriv", package="util-linux")
            caps = [f"--{kind}={right}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
            unprivileged = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", *caps]
        done = subprocess.run(
            [*unprivileged, sys.executable, "-c", EXAMINE],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = {line.split("  ")[0].strip(): line for line in done.stdout.splitlines()}
        for name in ("files, disk", "memory", "ended processes", "network, transactions"):
            assert "run it as the service that `hostmeter-agent install` sets up" in lines[name]
        if needs.this_machines_mounts().unified is not None:
            refused = lines["network, transactions"]
            assert "CAP_BPF and CAP_NET_ADMIN are needed" in refused
            assert "or as root: hostmeter-agent attach --state DIR" in refused
        assert "AmbientCapabilities=CAP_PERFMON" in lines["resources opened"]
        assert lines["users"].split()[1] == "sampled"
        assert "no exit records (Operation not permitted)" in lines["ended processes"]
        assert " 0 of " in lines["files, disk"]
        assert "without CAP_SYS_PTRACE" in lines["rights"]

    @pytest.fixture
    def bpffs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the agent would pin, and mount for it."""
        needs.capability(*needs.EBPF, "CAP_SYS_ADMIN")
        needs.cgroup2()
        path = tmp_path / "bpf"
        path.mkdir()
        for looking in (flows.pin_directory, flows.groups_counted):
            monkeypatch.setattr(looking, "__kwdefaults__", {"bpffs": path})
        return path

    def test_leaves_nothing_attached_mounted_or_made(self, tmp_path: Path, bpffs: Path) -> None:
        descriptors = os.listdir("/proc/self/fd")
        findings = doctor.examine(Place(tmp_path / "none"))
        network = next(found for found in findings if found.name == "network, transactions")
        assert network.quality == "exact"
        assert os.listdir("/proc/self/fd") == descriptors
        assert not os.path.ismount(bpffs)
        assert list(tmp_path.iterdir()) == [bpffs]

    def test_reads_what_is_attached_already(self, tmp_path: Path, bpffs: Path) -> None:
        flows.attach_for(tmp_path)
        try:
            before = set(bpffs.rglob("*"))
            reason = doctor_kernel.network(Place(tmp_path)).reason
            assert reason.startswith("attached and pinned, counting ")
            assert set(bpffs.rglob("*")) == before
            pins = flows.pin_directory(tmp_path)
            assert pins is not None
            flows.unpin(pins)
            assert "attached" not in doctor_kernel.network(Place(tmp_path)).reason
        finally:
            mounts.unmount(bpffs)

    def test_a_broken_configuration_is_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "agent.toml"
        file.write_text("speed = 9\n")
        done = agent("doctor", "--config", file)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "speed is not known" in done.stderr

    def test_an_unknown_option_shows_the_usage(self) -> None:
        assert agent("doctor", "--fast").returncode == 2


EXAMINE = """
import sys
from pathlib import Path
from hostmeter_agent.install import doctor
findings = doctor.examine(doctor.place(Path("/nonexistent"), None))
print("\\n".join(doctor.as_lines(findings)))
sys.exit(not doctor.can_meter(findings))
"""


class TestChecks:
    def test_name_the_missing_rights(self, host: Place) -> None:
        assert doctor_host.rights(host).remedy == ""
        (host.proc / "self/status").write_text("CapEff:\t0000000000080000\n")
        found = doctor_host.rights(host)
        assert "without CAP_DAC_READ_SEARCH, CAP_BPF, CAP_NET_ADMIN" in found.reason

    def test_tell_that_proc_hides_other_users(self, host: Place) -> None:
        mounted(host, "proc /proc proc rw,hidepid=invisible")
        assert doctor_host.processes(host).quality == "exact"
        for path in (host.proc / "1/fd", host.proc / "1"):
            for file in path.iterdir():
                if file.is_file():
                    file.unlink()
            path.rmdir()
        found = doctor_host.processes(host)
        assert (found.quality, found.reason) == (
            "lower_bound",
            "hidepid=invisible hides the processes of other users",
        )

    def test_without_proc_nothing_is_metered(self, host: Place, tmp_path: Path) -> None:
        found = doctor_host.processes(Place(host.state, None, tmp_path / "none", host.sys))
        assert not doctor.can_meter([found])
        assert found.remedy == "mount proc on /proc"

    @pytest.mark.parametrize(
        ("check", "quality"),
        [(doctor_host.io_and_descriptors, "unavailable"), (doctor_host.memory, "estimated")],
    )
    def test_tell_what_of_other_users_may_not_be_read(
        self, host: Place, monkeypatch: pytest.MonkeyPatch,
        check: Callable[[Place], Finding], quality: str,
    ) -> None:  # fmt: skip
        needs.root()
        assert check(host).quality == "exact"
        assert " 1 of 1 processes of others can be read" in check(host).reason
        real = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            return real(path) if path.name == "cmdline" else denied()

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        found = check(host)
        assert found.quality == quality
        assert " 0 of 1 processes of others can be read" in found.reason
        assert found.remedy.startswith(doctor_host.INSTALLED)

    def test_tell_of_old_kernels(self, host: Place) -> None:
        (host.proc / "self/io").unlink()
        (host.proc / "self/smaps_rollup").unlink()
        assert "CONFIG_TASK_IO_ACCOUNTING" in doctor_host.io_and_descriptors(host).remedy
        assert "4.14" in doctor_host.memory(host).remedy

    def test_name_the_hierarchies(self, host: Place, tmp_path: Path) -> None:
        assert doctor_host.cgroups(host).quality == "estimated"
        unified = tmp_path / "unified"
        unified.mkdir()
        (unified / "cgroup.controllers").write_text("cpu memory\n")
        mounted(host, f"cgroup2 {unified} cgroup2 rw", "cgroup /c cgroup rw,cpuacct")
        found = doctor_host.cgroups(host)
        assert found.reason == "version 2 with cpu, memory and version 1 with cpuacct"

    def test_tell_what_ebpf_lacks(self, host: Place) -> None:
        assert "no cgroup2 hierarchy" in doctor_kernel.network(host).reason
        (host.sys / "kernel/security").mkdir(parents=True)
        (host.sys / "kernel/security/lockdown").write_text("none integrity [confidentiality]\n")
        assert doctor_kernel.network(host).reason == "eBPF: the kernel is locked down"

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [
            (errno.EPERM, "hostmeter-agent attach"),
            (errno.ENOSYS, "CONFIG_BPF_SYSCALL"),
            (errno.EINVAL, "Linux 5.10"),
        ],
    )
    def test_tell_what_helps_against_a_refusal(
        self, host: Place, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
    ) -> None:
        def refuse(*_: object) -> None:
            raise EbpfRefused("loading sockops", code)

        monkeypatch.setattr(network, "HostFlows", refuse)
        mounted(host, "cgroup2 /sys/fs/cgroup cgroup2 rw")
        found = doctor_kernel.network(host)
        assert found.reason.startswith("eBPF: loading sockops: ")
        assert remedy in found.remedy

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [(errno.EPERM, "CAP_NET_ADMIN"), (errno.EPROTONOSUPPORT, "CONFIG_PROC_EVENTS")],
    )
    def test_tell_why_no_process_starts_are_heard_of(
        self, host: Place, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
    ) -> None:
        def refuse() -> None:
            raise LaunchesUnavailable("refused") from OSError(code, os.strerror(code))

        monkeypatch.setattr(doctor_kernel, "ForkListener", refuse)
        found = doctor_kernel.process_events(host)
        assert found.reason == f"no process events ({os.strerror(code)})"
        assert remedy in found.remedy

    def test_tell_that_what_is_opened_needs_a_further_right(
        self, host: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OpensUnavailable("CAP_BPF and CAP_PERFMON are needed")

        monkeypatch.setattr(doctor_kernel, "OpenCounter", refuse)
        found = doctor_kernel.opens(host)
        assert (found.quality, found.reason) == (
            "unavailable",
            "CAP_BPF and CAP_PERFMON are needed",
        )
        assert "CapabilityBoundingSet=CAP_PERFMON" in found.remedy
        assert "or use the intercepting library" in found.remedy

    def test_name_the_directory_of_the_intercepting_library(
        self, host: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library, pages = tmp_path / "libhostmeter_intercept.so", tmp_path / "pages"
        monkeypatch.setattr(doctor_host, "_LIBRARY", library)
        assert "is not part of this installation" in doctor_host.interception(host, pages).reason
        library.touch()
        assert f"{pages} is not there" in doctor_host.interception(host, pages).reason
        assert not pages.exists()
        pages.mkdir(mode=0o755)
        assert doctor_host.interception(host, pages).remedy == f"chmod 1733 {pages}"
        pages.chmod(0o1733)
        found = doctor_host.interception(host, pages)
        assert (found.quality, found.reason) == (
            "exact",
            f"LD_PRELOAD={library} counts into {pages}",
        )

    def test_tell_why_applications_get_no_cgroups_of_the_agents(
        self, host: Place, tmp_path: Path
    ) -> None:
        assert "does not ask" in doctor_host.own_cgroups(host).reason
        config = tmp_path / "config.toml"
        config.write_text("own_cgroups = true\n")
        place = Place(host.state, config, host.proc, host.sys)
        assert doctor_host.own_cgroups(place).reason == "no cgroup2 hierarchy is mounted"
        mounted(host, f"cgroup2 {tmp_path}/none cgroup2 rw")
        (tmp_path / "none").mkdir()
        found = doctor_host.own_cgroups(place)
        assert found.quality == "unavailable"
        assert found.reason == f"{tmp_path}/none/cgroup.procs may not be written"
        assert "CAP_DAC_OVERRIDE" in found.remedy

    def test_name_the_log_that_cannot_be_read(self, host: Place, tmp_path: Path) -> None:
        config = tmp_path / "config.toml"
        place = Place(host.state, config, host.proc, host.sys)
        log = tmp_path / "access.log"
        config.write_text(f"[[access_log]]\npath = '{log}'\n")
        assert doctor_host.access_logs(place).reason == f"{log}: no such file yet"
        log.touch()
        assert doctor_host.access_logs(place).quality == "exact"
        assert doctor_host.access_logs(host).reason == "the configuration names none"

    def test_one_that_fails_takes_no_other_down(self) -> None:
        def broken_check(place: Place) -> Finding:
            raise OSError(5, "Input/output error")

        found = doctor.examine(HERE, [broken_check, doctor_host.clock])
        assert found[0].reason == "could not be examined: Input/output error"
        assert found[1].quality == "ok"


class NoBatches(Contract):
    """Refuses as the server does what is signed well and no batch."""

    def store(self, request: Request, body: bytes) -> Reply:
        assert body == b"{}"
        return 422, {"detail": "schema: is missing"}, {}


class TestTheWayToTheServer:
    @pytest.fixture
    def enrolled(self, host: Place) -> tuple[Place, Contract]:
        contract = Contract()
        with serving(contract) as url:
            enrol(
                StateDirectory(host.state), server_url=url, token="token-1", name="web-1",
                force=False, now=datetime.now(UTC),
            )  # fmt: skip
        contract.public_key = base64.b64decode(str(contract.enrolled["public_key"]))
        return host, contract

    def test_is_missing_before_enrolment(self, host: Place) -> None:
        for check in (doctor_delivery.server, doctor_delivery.server_clock):
            assert check(host).reason == "this host is not enrolled"

    def test_is_refused_where_nobody_listens(self, enrolled: tuple[Place, Contract]) -> None:
        found = doctor_delivery.server(enrolled[0])
        assert (found.quality, "Connection refused" in found.reason) == ("unavailable", True)

    @pytest.mark.parametrize(
        ("status", "quality", "word"),
        [
            (422, "ok", "takes the key of web-1"),
            (401, "unavailable", "does not take the key"),
            (503, "unavailable", "answered 503"),
        ],
    )
    def test_is_tried_with_the_key(
        self, enrolled: tuple[Place, Contract], monkeypatch: pytest.MonkeyPatch,
        status: int, quality: str, word: str,
    ) -> None:  # fmt: skip
        place, _ = enrolled
        monkeypatch.setattr(doctor_delivery, "_ask", lambda *_: (status, None))
        found = doctor_delivery.server(place)
        assert found.quality == quality
        assert word in found.reason

    def test_tries_the_key_itself(self, host: Place) -> None:
        """Whatever a server says to a signed body that is no batch, it has judged the key."""
        contract = NoBatches()
        with serving(contract) as url:
            enrol(
                StateDirectory(host.state), server_url=url, token="token-1", name="web-1",
                force=False, now=datetime.now(UTC),
            )  # fmt: skip
            contract.public_key = base64.b64decode(str(contract.enrolled["public_key"]))
            assert doctor_delivery.server(host).quality == "ok"
            assert doctor_delivery.server_clock(host).quality == "ok"
            contract.public_key = bytes(31) + b"\x08"
            assert "does not take the key" in doctor_delivery.server(host).reason

    @pytest.mark.parametrize(
        ("apart", "quality", "remedy"),
        [(0, "ok", ""), (30, "ok", "set the clock"), (400, "unavailable", "set the clock")],
    )
    def test_compares_the_clocks(
        self, enrolled: tuple[Place, Contract], monkeypatch: pytest.MonkeyPatch,
        apart: int, quality: str, remedy: str,
    ) -> None:  # fmt: skip
        theirs = datetime.fromtimestamp(datetime.now(UTC).timestamp() + apart, UTC)
        monkeypatch.setattr(doctor_delivery, "_ask", lambda *_: (422, theirs))
        found = doctor_delivery.server_clock(enrolled[0])
        assert (found.quality, found.remedy) == (quality, remedy)

    def test_the_spool_is_written_and_synchronised(self, host: Place) -> None:
        found = doctor_delivery.spool(host)
        assert "stored durably in" in found.reason or "are free" in found.reason
        assert list(host.state.iterdir()) == []

    def test_a_spool_that_cannot_be_written_stops_all_metering(
        self, host: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        found = doctor_delivery.spool(host)
        assert "No space left on device" in found.reason
        assert not doctor.can_meter([found])
        assert list(host.state.iterdir()) == []
