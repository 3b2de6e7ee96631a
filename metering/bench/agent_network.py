"""How many requests the agent's eBPF program miscounts, and what it costs per packet."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from metering.bench.webserver import WebServer, cgroup_root, control_group, load, web_server

AGENT_SOURCE: Final = Path(__file__).parents[2] / "agent/src"
STATISTICS: Final = Path("/proc/sys/kernel/bpf_stats_enabled")
REQUESTS: Final = 1_000_000
_SECONDS_PER_LOAD: Final = 10
_SECONDS_PER_COST: Final = 3
_STOP_SECONDS: Final = 10
_COSTS: Final = (("keep-alive", "plain", True), ("https", "tls", True), ("new", "plain", False))

# Runs with the agent's own modules, which the server's code does not import. For each line that
# names a control group's number it answers with the group's counts and the programs' runs.
_COUNTER: Final = """
import json, os, sys
from pathlib import Path
from hostmeter_agent.kernel import ebpf
from hostmeter_agent.kernel.ebpf_object import Program
from hostmeter_agent.kernel.flows import Flow, HostFlows
flows = HostFlows(Path(sys.argv[1]), None)
root = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
passes = bytes.fromhex("b700000001000000" "9500000000000000")  # r0 = 1; exit
idle = [
    ebpf.attach(section, ebpf.load_program(Program("idle", section, passes, ()), b"GPL", {}), root)
    for section in ("cgroup_skb/ingress", "cgroup_skb/egress")
]
print("attached", flush=True)
for line in sys.stdin:
    (counted,) = flows.read().values()
    flow = counted.get(int(line), Flow())
    print(json.dumps({
        "transactions": flow.transactions, "irregular": flow.irregular,
        "costs": [*flows.costs().values()], "idle": [ebpf.run_statistics(link) for link in idle],
    }), flush=True)
"""


class Counted(NamedTuple):
    """Transactions, signs of several requests at once, runs of the programs and their time, and
    the same of programs that do nothing at the same packets: what taking the time costs."""

    transactions: int
    irregular: int
    runs: int
    nanoseconds: int
    idle_runs: int
    idle_nanoseconds: int

    def __sub__(self, other: "Counted") -> "Counted":
        return Counted(*(a - b for a, b in zip(self, other, strict=True)))


class Counter:
    """The eBPF program, attached by a process of its own."""

    def __init__(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", _COUNTER, str(cgroup_root())],
            env={**os.environ, "PYTHONPATH": str(AGENT_SOURCE)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the counting process has no pipes")
        self._process, self._asked, self._told = process, process.stdin, process.stdout
        self._answer()

    def _answer(self) -> str:
        line = self._told.readline()
        if not line:
            raise RuntimeError("the eBPF program could not be attached")
        return line

    def read(self, group: Path) -> Counted:
        self._asked.write(f"{group.stat().st_ino}\n")
        self._asked.flush()
        data = json.loads(self._answer())
        costs = (sum(cost[i] for cost in data[of]) for of in ("costs", "idle") for i in (0, 1))
        return Counted(data["transactions"], data["irregular"], *costs)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=_STOP_SECONDS)


_MODES: Final = (
    # What each adds to the requests, in percent; a handshake for every request is slow.
    ("http keep-alive", "plain", True, 40),
    ("https keep-alive", "tls", True, 35),
    ("http", "plain", False, 24),
    ("https", "tls", False, 1),
)


def network_figures(
    progress: Callable[[str], None] = print, *, requests: int = REQUESTS
) -> dict[str, int | str]:
    """Requests that nginx answered and how many of them were counted otherwise, by mode and in all;
    nanoseconds per packet. Needs root, nginx and wrk. Raises OSError, RuntimeError,
    CalledProcessError."""
    figures: dict[str, int | str] = {}
    requests_all = miscounted_all = 0
    with tempfile.TemporaryDirectory(prefix="bench-network-") as name, ExitStack() as stack:
        group = stack.enter_context(control_group("hostmeter-bench"))
        server = stack.enter_context(web_server(Path(name) / "web", group))
        counter = stack.enter_context(closing(Counter()))
        for mode, listener, keep_alive, percent in _MODES:
            progress(f"{mode}: {requests * percent // 100} requests")
            url = f"{'https' if listener == 'tls' else 'http'}://127.0.0.1:"
            url += f"{getattr(server, listener)}/small"
            answered, counted = _run(server, counter, url, keep_alive, requests * percent // 100)
            figures[f"requests {mode}"] = answered
            figures[f"miscounted {mode}"] = abs(counted.transactions - answered)
            figures[f"irregular {mode}"] = counted.irregular
            requests_all += answered
            miscounted_all += abs(counted.transactions - answered)
        progress("nanoseconds per packet")
        figures |= _cost_figures(server, counter)
    return figures | {"requests": requests_all, "miscounted": miscounted_all}


def _run(
    server: WebServer, counter: Counter, url: str, keep_alive: bool, requests: int
) -> tuple[int, Counted]:
    server.forget()
    before = counter.read(server.group)
    while server.answered() < requests:
        load(url, seconds=_SECONDS_PER_LOAD, keep_alive=keep_alive)
    return server.answered(), counter.read(server.group) - before


def _cost_figures(server: WebServer, counter: Counter) -> dict[str, int | str]:
    """The mean over all packets of the host, both ends of each connection, as the kernel takes
    the time; beside it what taking it costs."""
    figures: dict[str, int | str] = {}
    with _statistics():
        for name, listener, keep_alive in _COSTS:
            url = f"{'https' if listener == 'tls' else 'http'}://127.0.0.1:"
            url += f"{getattr(server, listener)}/small"
            before = counter.read(server.group)
            load(url, seconds=_SECONDS_PER_COST, keep_alive=keep_alive)
            cost = counter.read(server.group) - before
            figures[f"ns_per_packet {name}"] = cost.nanoseconds // max(cost.runs, 1)
            idle = cost.idle_nanoseconds // max(cost.idle_runs, 1)
            figures[f"ns_of_timing {name}"] = idle
    return figures


@contextmanager
def _statistics() -> Iterator[None]:
    """The kernel times eBPF programs meanwhile."""
    before = STATISTICS.read_text()
    STATISTICS.write_text("1")
    try:
        yield
    finally:
        STATISTICS.write_text(before)
