"""`bench agent --faults`: kill the agent and the server, lose answers, and count what came through.

Processes of which the kernel knows what they used run beside a real agent, which delivers to a real
server. What the server has stored at the end must be that, to the byte and the tick.
"""

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from django.db.models import Sum

from metering.bench.agent_known import APPLICATION, SCRIPT, KnownWork, Usage, known_work
from metering.bench.agent_process import agent_command, agent_variables, enrolled
from metering.bench.agent_proxy import LossyProxy, lossy_proxy
from metering.bench.together import BenchFailed
from metering.bench.web import WebServer, bench_tenant, enrolment_token, web
from metering.models import Sample, SampleBatch
from tenants.scope import tenant_scope

_CONFIGURATION = f"""\
interval_seconds = 1
push_delay_seconds = 0
[[application]]
name = "{APPLICATION}"
command = "{SCRIPT.stem}"
"""
_LIFE_SECONDS = (0.1, 1.6)
"""Of an agent between two kills: from its very start to after some windows."""
_WAIT_SECONDS_MAX = 90
_PROGRESS_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Plan:
    agent_kills: int = 100
    server_kills: int = 50
    answers_lost_percent: int = 20


@dataclass(frozen=True, slots=True)
class FaultFigures:
    """lost_or_doubled_*: stored less used; 0 is the only good figure."""

    agent_kills: int
    server_kills: int
    answers_lost: int
    answers_passed: int
    batches: int
    read_bytes: int
    written_bytes: int
    cpu_us: int
    lost_or_doubled_read_bytes: int
    lost_or_doubled_written_bytes: int
    lost_or_doubled_cpu_us: int


@dataclass(slots=True)
class _Agent:
    state: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        configuration = self.state.with_name("agent.toml")
        configuration.write_text(_CONFIGURATION)
        self.process = subprocess.Popen(
            agent_command(
                "run", "--unpinned", "--state", str(self.state), "--config", str(configuration)
            ),
            env=os.environ | agent_variables(),
            stderr=subprocess.DEVNULL,
        )

    def end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()

    def pending_samples(self) -> int:
        done = subprocess.run(
            agent_command("status", "--json", "--state", str(self.state)),
            env=os.environ | agent_variables(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise BenchFailed(f"the agent's status: {done.stderr.decode().strip()}")
        report = json.loads(done.stdout)
        if report["quarantined_samples"]:
            raise BenchFailed(f"{report['quarantined_samples']} samples are in quarantine")
        return int(report["pending_samples"])


@dataclass(slots=True)
class _Campaign:
    plan: Plan
    server: WebServer
    agent: _Agent
    progress: Callable[[str], None]
    chance: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311

    def strike(self) -> None:
        """All kills, in an order of chance. The server's wait for it to have stored something
        since the last, so that each strikes one that works."""
        blows = ["agent"] * self.plan.agent_kills + ["server"] * self.plan.server_kills
        self.chance.shuffle(blows)
        said_at = time.monotonic()
        for number, blow in enumerate(blows, start=1):
            if blow == "agent":
                time.sleep(self.chance.uniform(*_LIFE_SECONDS))
                self.agent.end(signal.SIGKILL)
                self.agent.start()
            else:
                self._more_comes_in()
                self.server.kill_and_restart()
            if time.monotonic() - said_at >= _PROGRESS_SECONDS:
                said_at = time.monotonic()
                self.progress(f"{number} of {len(blows)} kills, {_stored_batches()} batches stored")

    def _more_comes_in(self) -> None:
        before = _stored_batches()
        _until(lambda: _stored_batches() > before, "the server stores nothing")

    def deliver(self, proxy: LossyProxy) -> None:
        """Everything that was used by now, and lose no more answers."""
        proxy.losing = 0.0
        now = datetime.now(UTC)
        # An agent that has only just been started has measured nothing yet, and so owes nothing.
        _until(lambda: _is_stored_since(now), "the agent delivers nothing new")
        _until(lambda: not self.agent.pending_samples(), "the spool does not run empty")
        self.agent.end(signal.SIGTERM)


def measure_faults(plan: Plan, progress: Callable[[str], None]) -> FaultFigures:
    """Carry the plan out. Raises BenchFailed and OSError.

    Runs inside bench.scratch.scratch_database().
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-faults-")))
        progress("starting the server and the agent")
        server = stack.enter_context(web())
        losing = plan.answers_lost_percent / 100
        url, proxy = stack.enter_context(lossy_proxy(server.address, 0.0))
        agent = _Agent(folder / "state")
        enrolled(url, agent.state, enrolment_token())
        stack.callback(agent.end, signal.SIGKILL)
        agent.start()
        # What begins after the first scan counts from its beginning.
        _until(lambda: _stored_batches() > 0, "the agent delivers nothing")
        work = stack.enter_context(known_work())
        work.start()
        proxy.losing = losing
        campaign = _Campaign(plan, server, agent, progress)
        campaign.strike()
        return _figures(campaign, work, proxy)


def _figures(campaign: _Campaign, work: KnownWork, proxy: LossyProxy) -> FaultFigures:
    campaign.progress("delivering the rest")
    used = work.rest()
    lost, passed = proxy.lost, proxy.passed
    campaign.deliver(proxy)
    if work.used() != used:
        raise BenchFailed("the known work went on after it was stopped")
    stored = _stored_usage()
    return FaultFigures(
        campaign.plan.agent_kills, campaign.plan.server_kills, lost, passed, _stored_batches(),
        used.read_bytes, used.written_bytes, used.cpu_us,
        stored.read_bytes - used.read_bytes, stored.written_bytes - used.written_bytes,
        stored.cpu_us - used.cpu_us,
    )  # fmt: skip


def _stored_batches() -> int:
    with tenant_scope(bench_tenant().pk):
        return SampleBatch.objects.count()


def _is_stored_since(moment: datetime) -> bool:
    """A window of the known work that began later."""
    with tenant_scope(bench_tenant().pk):
        samples = Sample.objects.filter(application__name=APPLICATION)
        return samples.filter(window_start__gte=moment).exists()


def _stored_usage() -> Usage:
    with tenant_scope(bench_tenant().pk):
        sums = Sample.objects.filter(application__name=APPLICATION).aggregate(
            read=Sum("file_read"), written=Sum("file_written"), cpu=Sum("cpu_time")
        )
    return Usage(*(int(sums[name] or 0) for name in ("read", "written", "cpu")))


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise BenchFailed(f"{otherwise} ({_WAIT_SECONDS_MAX} s)")
        time.sleep(0.1)
