"""On this machine's own kernel: counting goes on without the agent, and every count is delivered
once."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostmeter_agent.cgroup.cgroup_files import CgroupFs, Mounts
from hostmeter_agent.config import Config
from hostmeter_agent.kernel.ebpf import EbpfRefused
from hostmeter_agent.kernel.ebpf_object import parse_object
from hostmeter_agent.kernel.flows import HostFlows, attach_for, pin_directory, shipped_object, unpin
from hostmeter_agent.kernel.network import USERS, NetworkProbe
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.measure.scan import Scan, Scanner

from metering.bench.webserver import WebServer, cgroup_root, control_group, load, web_server
from tests import needs
from tests.agent import mounts
from tests.agent.test_agent_command import SOURCE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    needs.web_server()
    needs.capability(*needs.EBPF)
    with (
        control_group("hostmeter-shop") as group,
        web_server(tmp_path_factory.mktemp("web") / "server", group) as server,
    ):
        yield server


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with a bpffs of its own."""
    needs.capability(*needs.EBPF, "CAP_SYS_ADMIN")
    (tmp_path / "bpf").mkdir()
    monkeypatch.setattr(pin_directory, "__kwdefaults__", {"bpffs": tmp_path / "bpf"})
    yield tmp_path
    pins = pin_directory(tmp_path)
    assert pins is not None
    try:
        unpin(pins)
        assert not pins.exists()
    finally:
        mounts.unmount(tmp_path / "bpf")


def scan() -> Scan:
    files = CgroupFs(needs.this_machines_mounts())
    # These tests' own children are not the agent's.
    scanner = Scanner(ProcFs(Path("/proc")), files, Config(), own_pid=-1)
    return scanner.scan(now_s=1.0)


def probe(state: Path) -> NetworkProbe:
    return NetworkProbe(state, needs.this_machines_mounts())


def ask(server: WebServer, times: int) -> None:
    url = f"http://127.0.0.1:{server.plain}/small"
    subprocess.run(["curl", "-sS", *[url] * times], check=True, stdout=subprocess.DEVNULL)


def transactions(readings: Readings, server: WebServer) -> int:
    return readings.counters[server.group.name]["transactions"]


def quality(readings: Readings, server: WebServer, meter: str) -> str:
    return readings.measured[server.group.name][meter].quality


def test_a_restart_loses_and_doubles_nothing(state: Path, server: WebServer) -> None:
    first = probe(state)
    assert first.reason is None
    before = first.read(scan(), None, elapsed_ms=0)
    assert server.group.name not in before.counters  # nothing to take a difference to
    first.stored()
    ask(server, 5)
    stored = first.read(scan(), before.state, elapsed_ms=1_000)
    assert transactions(stored, server) == 5
    first.stored()
    ask(server, 7)  # read, but not stored: the agent is killed before
    first.read(scan(), stored.state, elapsed_ms=1_000)
    first.close()
    ask(server, 11)  # while no agent runs

    second = probe(state)
    readings = second.read(scan(), stored.state, elapsed_ms=1_000)
    assert transactions(readings, server) == 18
    assert quality(readings, server, "transactions") == "exact"
    assert quality(readings, server, "network.received") == "exact"
    assert readings.marks == {}
    assert transactions(second.read(scan(), stored.state, elapsed_ms=1_000), server) == 18
    second.stored()
    assert transactions(second.read(scan(), readings.state, elapsed_ms=1_000), server) == 0
    second.close()


def wider(data: bytes) -> bytes:
    """An object whose map of counts does not fit the shipped one's."""
    (definition,) = (m for m in parse_object(data).maps if m.name == "counted")
    words = ("type", "key_bytes", "value_bytes", "entries_max", "flags")
    packed = struct.pack("<5I", *(getattr(definition, word) for word in words))
    other = struct.pack("<5I", *(*struct.unpack("<3I", packed[:12]), 2_048, definition.flags))
    assert data.count(packed) == 1
    return data.replace(packed, other)


@pytest.mark.parametrize("newer", [lambda data: data + b"\0", wider])
def test_another_version_takes_over_in_the_middle_of_the_traffic(
    state: Path, server: WebServer, newer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(newer)
    first = probe(state)
    before = first.read(scan(), None, elapsed_ms=0)
    first.stored()
    server.forget()
    command = ["wrk", "-t1", "-c4", "-d3s", f"http://127.0.0.1:{server.plain}/small"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
        first.close()
        data = newer(shipped_object())
        monkeypatch.setattr("hostmeter_agent.kernel.flows.shipped_object", lambda: data)
        second = probe(state)
        assert second.reason is None
        assert client.wait() == 0
    server.settle()

    readings = second.read(scan(), before.state, elapsed_ms=1_000)
    assert transactions(readings, server) == server.answered() > 100
    assert quality(readings, server, "transactions") == "exact"
    second.stored()
    ask(server, 3)
    last = second.read(scan(), readings.state, elapsed_ms=1_000)
    assert transactions(last, server) == 3
    second.close()
    pins = pin_directory(state)
    assert pins is not None
    assert len(list(pins.iterdir())) == 1  # nothing of the former version is left


def test_without_a_place_to_pin_the_time_between_is_said_to_be_missing(
    tmp_path: Path, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostmeter_agent.kernel.network.pin_directory", lambda state: None)
    first = probe(tmp_path)
    assert first.reason == "eBPF: no bpffs: nothing is counted while the agent is stopped"
    before = first.read(scan(), None, elapsed_ms=0)
    first.close()

    second = probe(tmp_path)
    ask(server, 2)
    readings = second.read(scan(), before.state, elapsed_ms=1_000)

    assert transactions(readings, server) == 2
    assert quality(readings, server, "transactions") == "lower_bound"
    assert readings.marks[server.group.name] == {"counter-reset"}
    second.close()


def test_the_entry_of_a_group_that_has_gone_is_freed(state: Path) -> None:
    needs.tool("curl", package="curl")
    needs.cgroup2()
    opened = probe(state)
    with control_group("hostmeter-brief") as group:
        number = str(group.stat().st_ino)
        enter = 'echo $$ > "$1" && exec curl -s http://127.0.0.1:1/'
        subprocess.run(["/bin/sh", "-c", enter, "sh", group / "cgroup.procs"], check=False)

    readings = opened.read(scan(), None, elapsed_ms=0)
    for expected in (True, True, False):
        assert isinstance(readings.state, dict)
        (counted,) = readings.state["maps"].values()
        assert (number in counted) is expected
        opened.stored()
        readings = opened.read(scan(), readings.state, elapsed_ms=1_000)
    opened.close()


def test_concurrent_peers_are_sampled_between_scans(state: Path, server: WebServer) -> None:
    opened = probe(state)
    before = opened.read(scan(), None, elapsed_ms=0)
    opened.stored()
    with subprocess.Popen(
        ["wrk", "-t1", "-c4", "-d2s", f"http://127.0.0.1:{server.plain}/small"],
        stdout=subprocess.DEVNULL,
    ) as client:
        while client.poll() is None:
            opened.watch()
        assert client.wait() == 0

    readings = opened.read(scan(), before.state, elapsed_ms=1_000)
    name = server.group.name
    assert readings.maxima[name] == {USERS: 1}
    assert readings.gauges[name] == {USERS: 0}
    opened.stored()
    assert opened.read(scan(), readings.state, elapsed_ms=1).maxima[name] == {USERS: 0}
    opened.close()


def test_peers_of_the_host_itself_are_a_lower_bound(state: Path, server: WebServer) -> None:
    opened = probe(state)
    looked = scan()
    with subprocess.Popen(
        ["wrk", "-t1", "-c4", "-d2s", f"http://127.0.0.1:{server.plain}/small"],
        stdout=subprocess.DEVNULL,
    ) as client:
        readings = opened.read(looked, None, elapsed_ms=0)
        while client.poll() is None and readings.gauges[server.group.name] != {USERS: 1}:
            readings = opened.read(looked, None, elapsed_ms=0)
        assert readings.gauges[server.group.name] == {USERS: 1}
        assert quality(readings, server, "users.concurrent") == "lower_bound"
        assert client.wait() == 0
    opened.close()


def test_an_application_without_a_group_of_its_own_is_unavailable_not_zero(state: Path) -> None:
    needs.cgroup2()
    opened = probe(state)

    readings = opened.read(scan(), None, elapsed_ms=0)

    assert {m: how.quality for m, how in readings.default.items()} == dict.fromkeys(
        ("network.received", "network.sent", "transactions", "users.concurrent"), "unavailable"
    )
    assert set(readings.gauges) <= set(scan().cgroups_of)
    opened.close()


def test_where_no_cgroup2_is_mounted_everything_is_unavailable(tmp_path: Path) -> None:
    opened = NetworkProbe(tmp_path, Mounts(None, None, None))

    readings = opened.read(Scan(), {"kept": 1}, elapsed_ms=0)

    assert opened.reason == "eBPF: no cgroup2 hierarchy is mounted"
    assert readings.state == {"kept": 1}
    assert (readings.counters, readings.gauges) == ({}, {})


# Gives up all rights but those that it is told to keep; an ordinary user has none to give up.
LOAD = """
import ctypes, os, sys
if sys.argv[1:2] != ["--"]:
    drop = ctypes.CDLL(None).prctl
    [drop(24, number, 0, 0, 0) for number in range(64) if str(number) not in sys.argv[1:]]
    os.execv(sys.executable, [*sys.orig_argv[:3], "--"])
from pathlib import Path
from hostmeter_agent.errors import AgentError
from hostmeter_agent.kernel.flows import HostFlows
try:
    HostFlows(Path("/"), None)
except AgentError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ([], "not permitted: CAP_BPF and CAP_NET_ADMIN are needed"),
        (["CAP_NET_ADMIN", "CAP_BPF"], "CAP_PERFMON is needed; `hostmeter-agent attach` as root"),
    ],
)
def test_a_refusal_names_the_right_that_is_missing(kept: list[str], reason: str) -> None:
    needs.capability(*kept)
    numbers = [str(needs.CAPABILITIES[name]) for name in kept]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *numbers],
        env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_root_attached_is_read_by_the_agents_own_user(state: Path, server: WebServer) -> None:
    needs.capability("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE")
    setpriv = needs.tool("setpriv", package="util-linux")
    state.chmod(0o711)
    os.chown(state, 65_534, 65_534)
    said = attach_for(state)
    assert said.startswith(f"attached to {cgroup_root()}")
    ask(server, 4)
    pins = pin_directory(state)
    rights = "+bpf,+net_admin,+dac_read_search,+sys_ptrace"
    program = (
        "import sys; from pathlib import Path; from hostmeter_agent.kernel.flows import HostFlows\n"
        "(counted,) = HostFlows(Path(sys.argv[1]), Path(sys.argv[2])).read().values()\n"
        "print(counted[int(sys.argv[3])].transactions)"
    )
    done = subprocess.run(
        [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
         f"--inh-caps=-all,{rights}", f"--ambient-caps=-all,{rights}",
         f"--bounding-set=-all,{rights}", sys.executable, "-c", program,
         cgroup_root(), str(pins), str(server.group.stat().st_ino)],
        env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("4\n", "")


def test_two_openers_of_one_directory_share_the_counts(state: Path, server: WebServer) -> None:
    pins = pin_directory(state)
    one, two = (HostFlows(cgroup_root(), pins) for _ in range(2))
    ask(server, 2)

    assert one.read().keys() == two.read().keys()
    one.close()
    two.close()


def test_a_load_of_requests_is_counted_once_after_many_restarts(
    state: Path, server: WebServer
) -> None:
    opened = probe(state)
    at = opened.read(scan(), None, elapsed_ms=0).state
    server.forget()
    total = 0
    for _ in range(5):
        opened.close()
        load(f"http://127.0.0.1:{server.plain}/small", seconds=1, keep_alive=False)
        server.settle()
        opened = probe(state)
        readings = opened.read(scan(), at, elapsed_ms=1_000)
        total, at = total + transactions(readings, server), readings.state
        opened.stored()
    opened.close()

    assert total == server.answered()


def test_an_object_that_the_kernel_refuses_is_one_line() -> None:
    needs.capability(*needs.EBPF)
    data = shipped_object()
    program = next(p for p in parse_object(data).programs if p.section == "sockops")
    broken = data.replace(program.code[:8], b"\x95" + bytes(7))

    with pytest.raises(EbpfRefused, match=r"^eBPF: loading [^\n]+$"):
        HostFlows(Path("/"), None, broken)
