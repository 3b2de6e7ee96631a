"""What applications say wins, also in windows in which it could not be heard."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostmeter_agent.config import Config, parse_config
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words import open_words

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import Timeline, probing, program, start, usage
from tests.agent.test_agent_command import SOURCE
from tests.agent.test_agent_words_access_log import combined


@dataclass
class Turnarounds(Probe):
    """Counts one transaction a window for everybody, as the network probe might."""

    name: str = "network"

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        return Readings(
            counters={"app": {"transactions": 1, "network.sent": 5}, "other": {"transactions": 1}},
            gauges={"app": {"users.concurrent": 9}},
            maxima={"app": {"users.concurrent": 9}},
            default={
                "transactions": Measured("exact", "turnaround/1"),
                "users.concurrent": Measured("exact", "peers/1"),
            },
        )


@dataclass
class Host:
    folder: Path
    text: str
    fake: FakeHost
    opened: list[Probe] = field(default_factory=list)

    def config(self) -> Config:
        return parse_config(self.folder / "agent.toml", self.text)

    def probes(self) -> list[Probe]:
        self.opened = open_words(self.config(), self.folder)
        return [Turnarounds(), *self.opened]

    def meters(self, timeline: Timeline, second: float) -> dict[str, list[str]]:
        step = timeline.measuring.measure(timeline.clock(second))
        keys = {str(s["measured"]) for s in step.samples if s["application"] == "app"}
        meters: dict[str, list[str]] = json.loads(step.measurements[keys.pop()])["meters"]
        return meters


@pytest.fixture
def host(tmp_path: Path) -> Host:
    fake = FakeHost(tmp_path / "host")
    fake.put(program(10, "app"))
    log = f'[[access_log]]\napplication = "app"\npath = "{tmp_path}/app.log"\nformat = "combined"\n'
    return Host(tmp_path, f'{log}user = "remote_user"\nversion = 3\n', fake)


def test_an_applications_own_words_replace_what_was_seen_of_it(host: Host) -> None:
    log = host.folder / "app.log"
    log.touch()
    timeline = start(host.fake, probes=host.probes())
    timeline.at(0)
    log.write_text("".join(combined(user=f"u{n}") + "\n" for n in range(7)))
    meters = host.meters(timeline, 10)
    assert meters["transactions"] == ["exact", "access-log/1.3"]
    assert meters["users.concurrent"] == ["lower_bound", "principals/1.3"]
    found = usage(timeline.at(10), "app")
    assert (found["transactions"], found["network.sent"]) == (7, 5)
    again = timeline.restart()
    log.write_text(log.read_text() + combined() + "\n")
    for probe in host.opened:
        probe.close()
    again.measuring.probing = probing(host.probes())
    assert usage(again.at(20), "app")["transactions"] == 1


def test_a_window_without_them_is_not_filled_by_others_as_its_lines_come_later(
    host: Host,
) -> None:
    log, away = host.folder / "app.log", host.folder / "away"
    timeline = start(host.fake, probes=host.probes())
    timeline.at(0)
    assert host.meters(timeline, 10)["transactions"][0] == "unavailable"
    samples = timeline.at(10)
    assert "transactions" not in usage(samples, "app")
    assert "users.concurrent" not in usage(samples, "app")
    assert usage(samples, "app")["network.sent"] == 5
    assert usage(samples, "other")["transactions"] == 1
    away.write_text(f"{combined()}\n{combined()}\n")
    away.rename(log)
    assert usage(timeline.at(20), "app")["transactions"] == 2


INLETS = """
[otlp]
socket = "{folder}/otlp.sock"
[statsd]
socket = "{folder}/statsd.sock"
[[metric]]
source = "otlp"
application = "app"
name = "orders"
meter = "orders.placed"
"""


def test_a_dry_run_opens_no_inlet(tmp_path: Path) -> None:
    config = parse_config(tmp_path / "agent.toml", INLETS.format(folder=tmp_path))
    assert open_words(config, None) == []
    assert not list(tmp_path.iterdir())
    probes = open_words(config, tmp_path)
    assert [probe.name for probe in probes] == ["otlp", "statsd"]
    for probe in probes:
        probe.close()
    assert [path.name for path in tmp_path.iterdir()] == ["otlp.journal"]


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("", set()),
        ('[[access_log]]\napplication = "a"\npath = "/l"\nformat = "json"\n', {"access_log"}),
    ],
)
def test_nothing_is_loaded_that_is_not_configured(text: str, loaded: set[str]) -> None:
    code = (
        "import sys, json, pathlib\n"
        "from hostmeter_agent.config import parse_config\n"
        "from hostmeter_agent.words import open_words\n"
        "open_words(parse_config(pathlib.Path('x'), sys.argv[1]), None)\n"
        "print(json.dumps([n for n in sys.modules if n.startswith('hostmeter_agent.words.')\n"
        "  or n in ('http.client', 'ssl', 'selectors', 'zlib')]))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, text],
        env={"PYTHONPATH": str(SOURCE)}, capture_output=True, check=True,
    )  # fmt: skip
    names = {name.rpartition(".")[2] for name in json.loads(done.stdout)}
    heavy = {"access_log", "prometheus", "otlp", "statsd", "client", "ssl", "selectors"}
    assert names & heavy == loaded
