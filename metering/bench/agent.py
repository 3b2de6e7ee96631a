"""`bench agent`: what the agent costs, beside its peers, on one workload and in one run."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from metering.bench import agent_peers
from metering.bench.agent_process import (
    Cost,
    Measured,
    agent_command,
    agent_variables,
    enrolled,
    measured,
)
from metering.bench.agent_receiver import Received, receiving
from metering.bench.agent_workload import APPLICATION, DESCRIPTORS, Workload, running
from metering.bench.together import BenchFailed

_AGENT = "hostmeter-agent"
_WARM_SCRAPES = 2
_PROGRESS_SECONDS = 10
_TOLERANCE = 0.05
"""Of the descriptors: processes come and go."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and on what to measure."""

    workload: Workload
    scrapes: int
    interval_seconds: int
    with_peers: bool


def measure_agent(terms: Terms, progress: Callable[[str], None]) -> dict[str, object]:
    """The figures, by name. Raises BenchFailed and OSError."""
    if terms.with_peers:
        agent_peers.install(progress)
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as name, ExitStack() as stack:
        folder = Path(name)
        progress(f"starting {terms.workload.processes} processes")
        stack.enter_context(running(terms.workload))
        url, received = stack.enter_context(receiving())
        agent = stack.enter_context(_agent(url, folder, terms.interval_seconds))
        peers: list[agent_peers.Peer] = []
        if terms.with_peers:
            peers = stack.enter_context(
                agent_peers.peers(terms.workload, terms.interval_seconds, folder)
            )
        costs = _measure(agent, peers, terms, progress)
    _check(received, terms)
    return _figures(costs, received, terms)


@contextmanager
def _agent(url: str, folder: Path, interval_seconds: int) -> Iterator[Measured]:
    """The agent as it runs on a host: its own process, its spool synced to disk, delivering."""
    state = folder / "state"
    enrolled(url, state, "bench")
    configuration = folder / "agent.toml"
    configuration.write_text(f"interval_seconds = {interval_seconds}\n")
    command = agent_command(
        "run", "--unpinned", "--state", str(state), "--config", str(configuration)
    )
    with measured(_AGENT, command, folder / "agent.log", **agent_variables()) as agent:
        yield agent


def _measure(
    agent: Measured, peers: list[agent_peers.Peer], terms: Terms, progress: Callable[[str], None]
) -> dict[str, Cost]:
    """What each costs a scrape, counted from the middle of an interval to that of another."""
    looks = [peer.scrape for peer in peers if peer.scrape is not None]
    everyone = [agent, *(peer.measured for peer in peers)]
    said_at = time.monotonic()
    progress(f"measuring {terms.scrapes} scrapes, one every {terms.interval_seconds} s")
    for number in range(-_WARM_SCRAPES, terms.scrapes):
        _sleep_to_the_middle(terms.interval_seconds)
        if number == 0:
            for program in everyone:
                program.begin()
        for look in looks:
            look()
        if time.monotonic() - said_at >= _PROGRESS_SECONDS:
            said_at = time.monotonic()
            progress(f"scrape {number} of {terms.scrapes}" if number > 0 else "warming up")
    _sleep_to_the_middle(terms.interval_seconds)
    return {program.name: program.cost(terms.scrapes) for program in everyone}


def _sleep_to_the_middle(interval_s: int) -> None:
    """Scrapes stand at the multiples of the interval: between two of them everyone rests."""
    at = time.time() - interval_s / 2
    time.sleep(interval_s - at % interval_s)


def _check(received: Received, terms: Terms) -> None:
    """An agent that saw something else than the workload has no figures worth showing."""
    shape = terms.workload
    names = {APPLICATION.format(number) for number in range(shape.applications)}
    watched = [s for s in received.samples if s["coverage"] == 1 and s["application"] in names]
    windows = sorted({s["window"][0] for s in watched})
    if len(windows) < terms.scrapes:
        raise BenchFailed(f"the agent delivered {len(windows)} windows of {terms.scrapes}")
    middle = [s["usage"] for s in watched if s["window"][0] == windows[len(windows) // 2]]
    found = sum(usage["resources.open"] for usage in middle) / terms.interval_seconds
    expected = shape.processes * DESCRIPTORS
    if abs(found - expected) > expected * _TOLERANCE:
        raise BenchFailed(f"the agent saw {found:.0f} open resources instead of {expected}")


def _figures(costs: dict[str, Cost], received: Received, terms: Terms) -> dict[str, object]:
    shape = terms.workload
    figures: dict[str, object] = asdict(costs.pop(_AGENT))
    figures |= {
        "processes": shape.processes,
        "applications": shape.applications,
        "descriptors": shape.processes * DESCRIPTORS,
        "active_percent": shape.active_percent,
        "interval_seconds": terms.interval_seconds,
        "scrapes": terms.scrapes,
        "batches": received.batches,
        "transferred_bytes": received.transferred_bytes,
    }
    if costs:
        figures["peers"] = {name: asdict(cost) for name, cost in costs.items()}
    return figures
