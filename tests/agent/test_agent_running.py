"""The main loop: what it does when a window cannot be stored or measured."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hostmeter_agent.config import Config, parse_config
from hostmeter_agent.measure.scan import Scanner
from hostmeter_agent.running import Agent
from hostmeter_agent.store.room import Bounds
from hostmeter_agent.store.spool import Spool

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import Timeline, program, start
from tests.agent.test_agent_probes import PaperProbe

ONE_PROBE_OFF = parse_config(Path("agent.toml"), 'probes_off = ["paper"]')


@pytest.fixture(name="host")
def fake_host(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path)
    host.put(program(10, "app"))
    return host


class Running:
    """An agent whose loop ends at its next check, on a spool that can be full."""

    def __init__(self, host: FakeHost, folder: Path) -> None:
        self.probe = PaperProbe()
        self.timeline: Timeline = start(host, probes=[self.probe])
        self.spool = Spool(folder / "spool.sqlite3", Bounds())
        self.agent = Agent(self.spool, self.timeline.measuring, Config())
        self.agent.measure_once()

    def full(self, is_full: bool) -> None:
        self.spool._bounds = Bounds(megabytes_max=0 if is_full else 500)

    def turn(self, config: Config) -> None:
        """One run of the loop in which another configuration is wanted."""
        turns: list[Callable[[], None]] = [self.agent.stop, partial(self.agent.want, config)]

        def check() -> None:
            turns.pop()()

        self.agent._stopping.clear()
        self.agent.run(check)

    def stored(self) -> int:
        rows = self.spool.select("SELECT body FROM window")
        samples = [sample for (body,) in rows for sample in json.loads(b"[" + body + b"]")]
        return sum(sample["usage"].get("transactions", 0) for sample in samples)


@pytest.fixture(name="running")
def running_agent(host: FakeHost, tmp_path: Path) -> Iterator[Running]:
    running = Running(host, tmp_path)
    with closing(running.spool):
        yield running


class TestAnotherConfiguration:
    def test_waits_while_nothing_can_be_stored(self, running: Running) -> None:
        """A probe that it switches off would take with it what is not stored yet."""
        running.full(True)
        running.probe.total = 7
        running.turn(ONE_PROBE_OFF)
        assert running.probe.closed == 0
        running.full(False)
        running.agent.measure_once()
        running.turn(ONE_PROBE_OFF)
        assert running.probe.closed == 1
        assert running.stored() == 7


class TestAHostOutOfFiles:
    def test_is_measured_again_with_the_next_window(
        self, running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(23, "Too many open files in system")

        running.probe.total = 5
        with monkeypatch.context() as patched:
            patched.setattr(Scanner, "scan", refuse)
            assert not running.agent.measure_once()
            assert not running.agent.measure_once()
        assert [r.message for r in caplog.records] == [
            "not measured, will be tried with the next window:"
            " [Errno 23] Too many open files in system"
        ]
        assert running.agent.measure_once()
        assert running.stored() == 5
