"""Old windows become windows of 5 minutes, and every total stays what it was."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hostmeter_agent.measure.windows import BUCKET_MS, stamp
from hostmeter_agent.store.coalescing import Sample, at_ms, bucket_ms, coalesce
from hostmeter_agent.store.room import Bounds
from hostmeter_agent.store.shrinking import BUCKETS_PER_STEP, Shrinking
from hostmeter_agent.store.spool import Spool, SpoolFull
from hostmeter_agent.wire import VALUE_MAX, kind_of
from hypothesis import given
from hypothesis import strategies as st

NOON = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()) * 1_000


def sample(start_s: float, end_s: float, coverage: float = 1, **changes: Any) -> Sample:
    """From and to in seconds after noon."""
    window = [stamp(NOON + round(at_s * 1_000)) for at_s in (start_s, end_s)]
    return {
        "application": "shop",
        "instance": "host-1",
        "role": "primary",
        "environment": None,
        "window": window,
        "coverage": coverage,
        "measured": "a",
        "usage": {"cpu.time": 5, "memory.used": 100, "memory.used.max": 10},
    } | changes


def totals(samples: list[Sample]) -> dict[tuple[Any, ...], tuple[dict[str, int], int]]:
    """As the server adds up: usage, and covered time in millionths of a millisecond, by key and
    bucket."""
    found: dict[tuple[Any, ...], tuple[dict[str, int], int]] = {}
    for one in samples:
        names = ("application", "instance", "role", "environment", "measured")
        key = (bucket_ms(one), *(one.get(name) for name in names))
        usage, covered = found.get(key, ({}, 0))
        for meter, value in one["usage"].items():
            former = usage.get(meter, 0)
            usage[meter] = max(former, value) if kind_of(meter) == "maximum" else former + value
        length_ms = at_ms(one["window"][1]) - at_ms(one["window"][0])
        found[key] = (usage, covered + round(one["coverage"] * 1_000_000) * length_ms)
    return found


class TestOneBucket:
    def test_of_windows_that_follow_upon_each_other_becomes_one(self) -> None:
        fine = [sample(second, second + 10) for second in range(0, 300, 10)]
        assert coalesce(fine) == [
            sample(
                0, 300, usage={"cpu.time": 150, "memory.used": 3_000, "memory.used.max": 10}
            )
        ]  # fmt: skip

    def test_with_holes_becomes_one_where_the_covered_time_stays_exact(self) -> None:
        (one,) = coalesce([sample(0, 10), sample(20, 30), sample(40, 50)])
        assert one["window"] == sample(0, 50)["window"]
        assert one["coverage"] == 0.6
        assert one["usage"] == {"cpu.time": 15, "memory.used": 300, "memory.used.max": 10}

    def test_with_holes_stays_several_where_it_would_not_be_exact(self) -> None:
        fine = [sample(0, 10), sample(20, 30)]
        assert coalesce(fine) == fine

    def test_half_covered_counts_half(self) -> None:
        (one,) = coalesce([sample(0, 10, 0.5), sample(10, 20, 0)])
        assert (one["window"], one["coverage"]) == (sample(0, 20)["window"], 0.25)

    @pytest.mark.parametrize(
        "changes",
        [
            {"application": "mail"},
            {"instance": "host-2"},
            {"role": "replica"},
            {"environment": "staging"},
            {"measured": "b"},
        ],
    )
    def test_keeps_apart_what_is_not_the_same(self, changes: dict[str, Any]) -> None:
        fine = [sample(0, 10), sample(10, 20, **changes)]
        assert coalesce(fine) == fine

    def test_keeps_what_was_not_measured_absent(self) -> None:
        (one,) = coalesce([sample(0, 10, usage={}), sample(10, 20, usage={"cpu.time": 0})])
        assert one["usage"] == {"cpu.time": 0}

    def test_makes_no_number_that_is_out_of_bounds(self) -> None:
        fine = [sample(s, s + 10, usage={"cpu.time": VALUE_MAX}) for s in (0, 10)]
        assert coalesce(fine) == fine

    def test_never_reaches_into_the_next(self) -> None:
        fine = [sample(290, 300), sample(300, 310)]
        assert coalesce(fine) == fine

    def test_of_windows_that_overlap_adds_up(self) -> None:
        """A clock that was set back labels two windows alike."""
        fine = [sample(0, 10), sample(5, 15)]
        assert totals(coalesce(fine)) == totals(fine)


WINDOWS = st.builds(
    lambda start, length, coverage, changes, usage: sample(
        start / 1_000,
        min(start + length, (start // BUCKET_MS + 1) * BUCKET_MS) / 1_000,
        coverage / 1_000_000,
        usage=usage,
        **changes,
    ),
    st.integers(0, 900_000),
    st.sampled_from([1, 137, 1_000, 9_999, 10_000, 300_000]),
    st.sampled_from([0, 1, 333_333, 500_000, 999_999, 1_000_000]),
    st.fixed_dictionaries(
        {}, optional={"application": st.sampled_from("ab"), "measured": st.sampled_from("cd")}
    ),
    st.dictionaries(
        st.sampled_from(["cpu.time", "memory.used", "memory.used.max", "own.meter", "own.max"]),
        st.integers(0, VALUE_MAX),
    ),
)


@given(st.lists(WINDOWS, max_size=40))
def test_no_total_changes_whatever_is_coalesced(fine: list[Sample]) -> None:
    coarse = coalesce(fine)
    assert len(coarse) <= len(fine)
    assert totals(coarse) == totals(fine)
    assert coalesce(coarse) == coarse or len(coalesce(coarse)) < len(coarse)
    for one in coarse:
        assert 0 <= one["coverage"] <= 1
        assert all(value <= VALUE_MAX for value in one["usage"].values())
        assert at_ms(one["window"][1]) - bucket_ms(one) <= BUCKET_MS


class Filling:
    """A spool that scrapes fill: each 10 s, some applications, 1 µs of CPU time more each time."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.spool = Spool(path / "spool.sqlite3", bounds)
        self.shrinking = Shrinking(self.spool, bounds)
        self.scrapes = 0
        self.metered = 0

    def scrape(self, applications: int = 20) -> None:
        start = self.scrapes * 10
        usage = {"cpu.time": self.scrapes, "memory.used": 2**40}
        samples = [
            sample(start, start + 10, application=f"app-{n}", usage=usage)
            for n in range(applications)
        ]
        self.spool.record(samples, str(self.scrapes).encode(), at=NOON / 1_000 + start)
        self.metered += sum(one["usage"]["cpu.time"] for one in samples)
        self.scrapes += 1

    def scrape_for_ever(self, *, applications: int) -> None:
        while True:
            self.scrape(applications)

    def spooled(self) -> list[Sample]:
        rows = self.spool.select("SELECT body FROM window ORDER BY id").fetchall()
        return [one for (body,) in rows for one in json.loads(b"[" + body + b"]")]

    def now(self, later: float = 0) -> float:
        return NOON / 1_000 + self.scrapes * 10 + later


@pytest.fixture
def filling(tmp_path: Path) -> Callable[[Bounds], Filling]:
    return lambda bounds: Filling(tmp_path, bounds)


class TestSpool:
    def test_that_has_room_keeps_its_windows(self, filling: Callable[[Bounds], Filling]) -> None:
        full = filling(Bounds())
        for _ in range(60):
            full.scrape()
        assert full.shrinking.step(full.now()) == 0
        assert len(full.spooled()) == 1_200

    def test_that_is_nearly_full_goes_on_with_windows_of_five_minutes(
        self, filling: Callable[[Bounds], Filling]
    ) -> None:
        """Two hours without a server in 1 MB, where fine windows would take three."""
        full = filling(Bounds(megabytes_max=1))
        for _ in range(720):
            full.scrape()
            full.shrinking.step(full.now())
        assert full.spool.used_bytes() < 1_000_000
        held = full.spooled()
        assert sum(one["usage"]["cpu.time"] for one in held) == full.metered
        lengths = Counter(at_ms(s["window"][1]) - at_ms(s["window"][0]) for s in held)
        assert lengths[300_000] > 20 * 10
        starts = [at_ms(one["window"][0]) for one in held]
        assert starts == sorted(starts)

    def test_that_is_nearly_too_old_does_so_too(self, filling: Callable[[Bounds], Filling]) -> None:
        full = filling(Bounds(days_max=1))
        for _ in range(90):
            full.scrape(applications=1)
        assert full.shrinking.step(full.now(later=50_000)) == 0
        assert full.shrinking.step(full.now(later=80_000)) == 3
        assert [one["usage"]["cpu.time"] for one in full.spooled()] == [
            sum(range(30)), sum(range(30, 60)), sum(range(60, 90)),
        ]  # fmt: skip

    def test_leaves_a_bucket_alone_that_is_not_over(
        self, filling: Callable[[Bounds], Filling]
    ) -> None:
        full = filling(Bounds(days_max=1))
        full.scrape()
        with full.spool.transaction() as connection:
            connection.execute("UPDATE window SET queued_at = 0")
        assert full.shrinking.step(full.now()) == 0
        assert full.shrinking.step(full.now(later=350)) == 1

    def test_takes_a_few_buckets_at_a_time(self, filling: Callable[[Bounds], Filling]) -> None:
        full = filling(Bounds(days_max=1))
        for _ in range(300):
            full.scrape(applications=1)
        steps = [full.shrinking.step(full.now(later=80_000)) for _ in range(3)]
        assert steps == [BUCKETS_PER_STEP, BUCKETS_PER_STEP, 0]

    def test_at_its_bound_stores_nothing_and_loses_nothing(
        self, filling: Callable[[Bounds], Filling]
    ) -> None:
        """The baseline stands still: what was used since arrives when there is room."""
        full = filling(Bounds(megabytes_max=1))
        with pytest.raises(SpoolFull, match="spool_megabytes_max"):
            full.scrape_for_ever(applications=200)
        assert full.spool.baseline() == str(full.scrapes - 1).encode()
        assert sum(one["usage"]["cpu.time"] for one in full.spooled()) == full.metered
        with full.spool.transaction() as connection:
            connection.execute("DELETE FROM window WHERE id < 10")
        full.scrape()
        assert full.spool.baseline() == str(full.scrapes - 1).encode()

    def test_coalesced_is_sealed_and_names_its_measurements(
        self, filling: Callable[[Bounds], Filling]
    ) -> None:
        full = filling(Bounds(days_max=1))
        for _ in range(30):
            full.spool.record([sample(0, 10)], b"{}", at=0.0, measurements={"a": "{}"})
        assert full.shrinking.step(full.now(later=400)) == 1
        queued = full.spool.next_pieces()
        assert (queued.samples, queued.measurements) == (30, {"a": "{}"})
