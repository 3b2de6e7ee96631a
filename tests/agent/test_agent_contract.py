"""Whatever the agent measures, the server takes: nothing of it is ever out of contract."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hostmeter_agent.config import ConfigInvalid, parse_config
from hostmeter_agent.measure.baseline import Baseline
from hostmeter_agent.measure.measured import Measured, Profiles
from hostmeter_agent.measure.naming import clean
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.readings import Reading, Table, Usage
from hostmeter_agent.measure.samples import Held, Sample, Seen, Source, build, build_gap
from hostmeter_agent.measure.scan import Gauges
from hostmeter_agent.measure.stretches import Moment, Stretches, stretches_since
from hostmeter_agent.measure.windows import aligned_ms, stamp
from hostmeter_agent.store.batches import batch_body, encode_rows
from hostmeter_agent.store.coalescing import coalesce
from hostmeter_agent.wire import METERS, QUALITIES
from hostmeter_agent.words.methods import method
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.wire_body import Batch, decode_batch

NOON_MS = 1_767_268_800_000  # 2026-01-01 12:00:00 UTC
INTERVAL_MS = 10_000
DAY_MS = 86_400_000
COUNTERS = [meter.name for meter in METERS if meter.kind == "counter"]
OWN = [f"own.m{number}" for number in range(31)]
ODD_NAMES = (
    "nginx", "", " ", "a\x00b", "\x7f\x9f", "\ud800", "\u202e", "x" * 300, "ü" * 300, "😀" * 300,
    'a"b\\', "[kworker/0:1]", "\n", "\u2028", "Å\u0301", "a  b ",
)  # fmt: skip
PROBES = ("access-log", "principals", "prometheus", "otlp", "statsd")


def received(samples: list[Sample], measurements: dict[str, str], *, at_ms: int) -> list[Batch]:
    """What the server makes of the agent's batches. Raises OutOfContract."""
    batches = []
    for piece in encode_rows(samples):
        named = {key: measurements[key] for key in piece.measured.split()}
        body = batch_body(str(uuid.uuid4()), 1, stamp(at_ms), [piece.body], named)
        batches.append(decode_batch(body, as_of=datetime.fromtimestamp(at_ms / 1_000, UTC)))
    return batches


class Host:
    """Anything that probes, scans and clocks may come up with."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names = [clean(name) for name in random.sample(ODD_NAMES, random.randint(1, 4))]

    def amount(self) -> int:
        return self.random.randrange(2 ** self.random.choice((1, 10, 40, 62, 63, 64, 70)))

    def some(self, value: int) -> int | None:
        return self.random.choice((value, None))

    def method(self) -> str:
        version = self.some(self.random.randint(0, 1_000_000))
        return method(self.random.choice(PROBES), version)

    def readings(self) -> Readings:
        """Of a probe that keeps its own contract: what is unavailable has no quantity."""
        found = Readings()
        for name in set(self.random.choices(self.names, k=2)):
            measured = found.measured[name] = {}
            for meter in self.random.sample(COUNTERS + OWN, self.random.randint(0, 40)):
                measured[meter] = Measured(self.random.choice(QUALITIES), self.method())
                if measured[meter].quality != "unavailable":
                    found.counters.setdefault(name, {})[meter] = self.amount()
            if self.random.random() < 0.5:
                found.gauges[name] = {"users.concurrent": self.amount()}
                found.maxima[name] = {"users.concurrent": self.amount()}
                measured["users.concurrent"] = Measured("exact", self.method())
            marks = self.random.sample(range(40), self.random.randint(0, 20))
            found.marks[name] = {f"mark-{number}" for number in marks}
        for meter in self.random.sample(COUNTERS, 3):
            found.default[meter] = Measured("unavailable", self.method())
        return found

    def gauges(self) -> dict[str, Gauges]:
        few = self.random.randrange(2**40)
        return {
            name: Gauges(
                processes=few, threads=few, private_bytes=self.some(few), shared_bytes=few,
                descriptors=self.some(few), kinds=self.random.choice((None, (few,) * 5)),
                cgroup_bytes=self.some(few),
            )
            for name in set(self.random.choices(self.names, k=2))
        }  # fmt: skip

    def usage(self) -> Usage:
        usage = Usage({name: self.amount() for name in self.names})
        for name in self.names:
            read = self.amount(), self.amount(), self.amount(), self.amount()
            usage.io[name] = self.random.choice((None, read))
        return usage

    def times(self) -> tuple[Moment, Stretches]:
        """Any way in which the clocks may have gone since a baseline."""
        elapsed_ms = self.random.randrange(self.random.choice((1, 500, 60_000, 600 * DAY_MS)))
        wall_ms = NOON_MS + self.random.randrange(DAY_MS)
        step_ms = self.random.choice((0, 0, 900, -900, 3_600_000, -DAY_MS, 900 * DAY_MS))
        ended = Reading(7, 1, 1, "gone", 0, 0, 0, 0, 1, None)
        before = Baseline("boot-1", 1_000, wall_ms - elapsed_ms + step_ms, Table({7: ended}))
        now = Moment(1_000 + elapsed_ms, wall_ms, self.random.randrange(5_000))
        since = stretches_since(
            before, now, aligned_ms(wall_ms, INTERVAL_MS),
            boot_id=self.random.choice(("boot-1", "boot-1", "boot-2")),
            running=self.random.random() < 0.7, interval_ms=INTERVAL_MS,
        )  # fmt: skip
        return now, since


class TestWhatTheAgentSends:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 2**32))
    def test_is_never_out_of_contract(self, seed: int) -> None:
        host = Host(Random(seed))  # noqa: S311  makes cases only
        now, since = host.times()
        told = [host.readings() for _ in range(host.random.randint(0, 3))]
        held = Held(host.gauges(), [one.gauges for one in told])
        seen = Seen(host.usage(), held, Held(host.gauges()), told, how={})
        source = Source(host.names[0], host.random.choice((None, host.names[-1])))
        samples: list[Sample] = []
        measurements: dict[str, str] = {}
        if since.measured is not None:
            samples, measurements = build(seen, since.measured, source, Profiles())
        if since.down is not None:
            gaps, more = build_gap(host.names[:1], since.down, source, Profiles())
            samples, measurements = gaps[:300] + samples, measurements | more
        batches = received(samples, measurements, at_ms=now.wall_ms)
        assert sum(batch.samples for batch in batches) == len(samples)
        received(coalesce(samples), measurements, at_ms=now.wall_ms)


def configured(own_meters: int) -> str:
    metrics = [
        f'[[metric]]\nsource = "statsd"\napplication = "shop"\nname = "n{n}"\nmeter = "own.m{n}"\n'
        for n in range(own_meters)
    ]
    return '[statsd]\nsocket = "/run/app.sock"\n' + "".join(metrics)


class TestMetersOfOnesOwn:
    def test_fit_into_a_sample_beside_all_that_are_built_in(self) -> None:
        config = parse_config(Path("agent.toml"), configured(31))
        assert config.words is not None
        meters = [m.meter for m in config.words.metrics] + ["access_log.unparsed"]
        told = Readings(counters={"shop": dict.fromkeys(meters, 1)})
        told.counters["shop"] |= {m.name: 1 for m in METERS}
        told.measured["shop"] = {m: Measured("exact", "statsd/1") for m in told.counters["shop"]}
        now = Moment(11_000, NOON_MS)
        since = stretches_since(
            Baseline("b", 1_000, NOON_MS - 10_000, Table()), now, NOON_MS, boot_id="b",
            running=True, interval_ms=INTERVAL_MS,
        )  # fmt: skip
        assert since.measured is not None
        seen = Seen(Usage(), Held(), Held(), [told], how={})
        built = build(seen, since.measured, Source("host", None), Profiles())
        assert received(*built, at_ms=NOON_MS)[0].samples == 1

    def test_that_do_not_fit_are_refused_with_the_configuration(self) -> None:
        with pytest.raises(ConfigInvalid, match="at most 31 meters of one application"):
            parse_config(Path("agent.toml"), configured(32))
