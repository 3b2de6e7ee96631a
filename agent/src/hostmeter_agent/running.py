"""The agent's main loop, and one measurement without a server."""

import json
import logging
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from hostmeter_agent.config import Config
from hostmeter_agent.errors import AgentError
from hostmeter_agent.footprint import Libraries, return_large_blocks
from hostmeter_agent.measure import baseline as baselines
from hostmeter_agent.measure.budget import scrape_budget_us
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.stretches import Moment
from hostmeter_agent.measure.windows import next_boundary_ms, stamp
from hostmeter_agent.opening import open_listener, open_measuring
from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.server.desired import effective
from hostmeter_agent.server.ed25519 import backend
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.talking import Talking, bounds_of, note_bounds
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.status import further_status
from hostmeter_agent.store.life import Mark, runtime_directory
from hostmeter_agent.store.machine import beware_of_copies, this_machine
from hostmeter_agent.store.spool import (
    Identity,
    Spool,
    SpoolFull,
    SpoolUnusable,
    batch_body,
    encode_rows,
)
from hostmeter_agent.store.state import StateDirectory

log = logging.getLogger("hostmeter_agent")

_DELIVERY_STOP_SECONDS = 2.0


class NotEnrolled(AgentError):
    """The state directory has no identity yet."""


def system_clock() -> Moment:
    """All clocks, now."""
    boot_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    # The one clock stands still while the machine is suspended, the other does not.
    awake_ms = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000
    return Moment(boot_ms, time.time_ns() // 1_000_000, max(boot_ms - awake_ms, 0))


class Agent:
    """Measures every interval until it is told to stop."""

    def __init__(
        self, spool: Spool, measuring: Measuring, config: Config, *, mark: Mark | None = None
    ) -> None:
        self._spool = spool
        self._mark = mark or Mark(None)
        self._measuring = measuring
        self._config = config
        self._stopping = threading.Event()
        self._encoder = baselines.Encoder()
        self._failure = ""
        self.stored: Callable[[], None] = lambda: None
        """Called when there is more in the spool."""
        self._wanted: deque[Config] = deque(maxlen=1)

    def want(self, config: Config) -> None:
        """Go by another configuration from the next window on; any thread may say so."""
        self._wanted.append(config)

    def _reconfigure(self) -> None:
        """The window that ends now is still measured by the former configuration. Where it can't
        be stored, all stays as it is: a probe that were closed now would take with it what it has
        not stored."""
        if not self.measure_once():
            return
        config = self._wanted.pop()
        self._config = self._measuring.config = config
        self._measuring.scanner.reconfigure(config)
        self._measuring.probing.budget.allow(
            cpu_us_max=scrape_budget_us(config.interval_seconds, config.cpu_permille_max)
        )
        self._measuring.probing.use(config.probes_off)

    def stop(self) -> None:
        self._stopping.set()

    def run(self, check: Callable[[], None]) -> None:
        """Measure at once, then at every aligned moment, and once more on the way out.

        check: called every few seconds; what it raises ends the run.
        """
        self.measure_once()
        due_ms = self._next_due_ms()
        while not self._stopping.is_set():
            check()
            if self._wanted and not self._failure:
                self._reconfigure()
                due_ms = self._next_due_ms()
            now = system_clock()
            if now.wall_ms >= due_ms or due_ms - now.wall_ms > self._interval_ms:
                self.measure_once()
                due_ms = self._next_due_ms()
                continue
            self._stopping.wait(min((due_ms - now.wall_ms) / 1_000, self._watch_seconds))
            if self._config.births_seconds and system_clock().wall_ms < due_ms - 100:
                self._measuring.watch(system_clock())
        self.measure_once()

    def _put_off(self, what: str, error: Exception) -> None:
        if str(error) != self._failure:
            log.error("not %s, will be tried with the next window: %s", what, error)
        self._failure = str(error)

    @property
    def _interval_ms(self) -> int:
        return self._config.interval_seconds * 1_000

    def _next_due_ms(self) -> int:
        return next_boundary_ms(system_clock().wall_ms, self._interval_ms)

    @property
    def _watch_seconds(self) -> float:
        return float(self._config.births_seconds or 1)

    def measure_once(self) -> bool:
        """Scan and store; what cannot be stored now is part of the next window. Whether it was
        stored."""
        try:
            step = self._measuring.measure(system_clock)
            baseline = self._encoder.encode(step.baseline)
            self._spool.record(
                step.samples, baseline, at=time.time(), measurements=step.measurements
            )
        except SpoolUnusable as error:
            self._put_off("stored", error)
            return False
        except OSError as error:  # the host is out of files or memory
            self._put_off("measured", error)
            return False
        self._failure = ""
        self._mark.set(baseline)
        self._measuring.commit(step)
        self.stored()
        return True


def run(
    state: StateDirectory, config: Config, *, server_url: str | None = None, pinned: bool = True
) -> None:
    """Measure and deliver until SIGTERM or SIGINT, to the server's new address where one is given.

    pinned: what counts in the kernel goes on counting until the next run.
    Raises AgentError.
    """
    if not state.spool.exists():
        raise NotEnrolled(f"{state.path} is not enrolled; run: hostmeter-agent enrol")
    state.prepare()
    with state.held(), closing(Spool(state.spool, bounds_of(config))) as spool:
        identity = spool.identity()
        if identity is None:
            raise NotEnrolled(f"{state.path} is not enrolled; run: hostmeter-agent enrol")
        if server_url is not None:
            identity = replace(identity, server=parse_server(server_url).url)
        _run(state, spool, identity, config, pinned=pinned)


def _run(
    state: StateDirectory, spool: Spool, identity: Identity, config: Config, *, pinned: bool
) -> None:
    return_large_blocks()
    backend()  # loaded once and for all, before it is counted among the libraries
    libraries = Libraries()  # before probes start threads
    Keyring(spool, state, identity).sweep()
    try:
        note_bounds(spool, bounds_of(config))
        beware_of_copies(spool, this_machine(), now=time.time())
    except SpoolFull as error:
        log.error("the state of the spool is not noted: %s", error)
    wanted = effective(config, last_good(spool))
    mark = Mark.of(identity.epoch, runtime_directory())
    stored = mark.newer(spool.baseline())
    measuring = open_measuring(
        wanted,
        instance=identity.name,
        stored=stored,
        listener=open_listener(),
        state=state.path,
        pinned=pinned,
    )
    agent = Agent(spool, measuring, wanted, mark=mark)
    talking = Talking(
        state, identity, config, apply=agent.want, probe_states=measuring.states,
        rest=libraries.give_back,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    log.info("metering host %s for %s", identity.host, identity.server)
    agent.stored = talking.wake
    talking.start()
    try:
        agent.run(lambda: _check(talking))
    finally:
        talking.stop()
        talking.join(_DELIVERY_STOP_SECONDS)
        measuring.probing.close()
    log.info("stopped")


def _check(talking: Talking) -> None:
    if talking.failure is not None:
        raise AgentError(f"delivery ended: {talking.failure}") from talking.failure


def dry_run(config: Config, *, seconds: float) -> str:
    """Measure one short window and return the JSON of the batch that would be sent."""
    measuring = open_measuring(
        config, instance=socket.gethostname(), stored=None, listener=open_listener()
    )
    measuring.commit(measuring.measure(system_clock))
    time.sleep(seconds)
    step = measuring.measure(system_clock)
    pieces = [piece.body for piece in encode_rows(step.samples)]
    at = stamp(system_clock().wall_ms)
    body = batch_body(str(uuid.uuid4()), 1, at, pieces, step.measurements)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)


def status(state: StateDirectory) -> dict[str, object]:
    """What `status` shows. Raises AgentError when there is no usable state."""
    if not state.spool.exists():
        return {"enrolled": False, "running": False}
    with closing(Spool(state.spool)) as spool:
        identity = spool.identity()
        report: dict[str, object] = {"enrolled": identity is not None}
        report["running"] = state.is_held()
        if identity is not None:
            report |= _identity_fields(identity) | {"epoch": spool.sealing_epoch()}
            report |= further_status(spool, state, identity)
        return report | spool.report()


def _identity_fields(identity: Identity) -> dict[str, object]:
    return {
        "server": identity.server,
        "host": identity.host,
        "name": identity.name,
        "epoch": identity.epoch,
        "enrolled_at": identity.enrolled_at,
    }
