"""A period is cut where what rates it changes, and nowhere else."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.periods import Period, bucket_start
from billing.core.segments import NoVersionInForce, OverrideTerm, VersionTerm, segments
from tests.billing.timeline import at

OCTOBER = Period(at(10, 1), at(11, 1))
FIRST = VersionTerm("v1", 1, at(9, 1))


def at_once(version_id: str, number: int, when: datetime) -> VersionTerm:
    return VersionTerm(version_id, number, when, at_once=True)


def starts(*versions: VersionTerm, **more: object) -> list[tuple[datetime, str]]:
    found = segments(OCTOBER, versions, **more)  # type: ignore[arg-type]
    return [(each.span.start, each.version_id) for each in found]


class TestSegments:
    def test_are_one_while_nothing_changes(self) -> None:
        assert starts(FIRST) == [(at(10, 1), "v1")]

    def test_begin_with_the_newest_version_in_force(self) -> None:
        second = VersionTerm("v2", 2, at(10, 1))

        assert starts(FIRST, second) == [(at(10, 1), "v2")]

    def test_leave_a_version_of_the_next_boundary_to_the_next_period(self) -> None:
        assert starts(FIRST, VersionTerm("v2", 2, at(10, 10))) == [(at(10, 1), "v1")]

    def test_are_cut_where_a_version_takes_effect_at_once(self) -> None:
        second, third = at_once("v2", 2, at(10, 10)), at_once("v3", 3, at(10, 20))

        assert starts(third, FIRST, second) == [
            (at(10, 1), "v1"),
            (at(10, 10), "v2"),
            (at(10, 20), "v3"),
        ]

    def test_are_cut_between_buckets_of_usage(self) -> None:
        second = at_once("v2", 2, at(10, 10, 12, 3))

        assert starts(FIRST, second) == [(at(10, 1), "v1"), (at(10, 10, 12, 0), "v2")]

    def test_have_the_later_of_two_versions_of_one_moment(self) -> None:
        second, third = at_once("v2", 2, at(10, 10)), at_once("v3", 3, at(10, 10))

        assert starts(third, second, FIRST) == [(at(10, 1), "v1"), (at(10, 10), "v3")]

    def test_are_cut_where_a_trial_ends(self) -> None:
        found = segments(OCTOBER, [FIRST], trial_ends_at=at(10, 15))

        assert [(each.span.start, each.trial) for each in found] == [
            (at(10, 1), True),
            (at(10, 15), False),
        ]

    def test_are_cut_where_an_override_begins_and_ends(self) -> None:
        own = OverrideTerm("o1", "cpu", at(10, 5), at(10, 25))
        found = segments(OCTOBER, [FIRST], overrides=[own])

        assert [(each.span.start, each.overrides) for each in found] == [
            (at(10, 1), ()),
            (at(10, 5), ("o1",)),
            (at(10, 25), ()),
        ]

    def test_have_the_later_of_two_overrides_of_one_price(self) -> None:
        older = OverrideTerm("o1", "cpu", at(9, 5))
        newer = OverrideTerm("o2", "cpu", at(9, 20), at(10, 10))
        other = OverrideTerm("o3", "disk", at(9, 1))
        found = segments(OCTOBER, [FIRST], overrides=[newer, other, older])

        assert [each.overrides for each in found] == [("o2", "o3"), ("o1", "o3")]

    def test_need_a_version_when_the_period_begins(self) -> None:
        with pytest.raises(NoVersionInForce, match="2026-10-01"):
            starts(at_once("v1", 1, at(10, 2)))

    @given(
        st.lists(st.tuples(st.integers(-500, 40_000), st.booleans()), max_size=6),
        st.one_of(st.none(), st.integers(-500, 50_000)),
        st.lists(st.tuples(st.integers(-500, 40_000), st.integers(1, 50_000)), max_size=4),
    )
    def test_tile_the_period(
        self,
        changes: list[tuple[int, bool]],
        trial: int | None,
        overridden: list[tuple[int, int]],
    ) -> None:
        def instant(minutes: int) -> datetime:
            return OCTOBER.start + timedelta(minutes=minutes)

        versions = [
            VersionTerm(f"v{number}", number, instant(minutes), at_once=at_once)
            for number, (minutes, at_once) in enumerate(changes, start=2)
        ]
        overrides = [
            OverrideTerm(f"o{number}", "cpu", instant(start), instant(start + length))
            for number, (start, length) in enumerate(overridden)
        ]
        found = segments(
            OCTOBER,
            [FIRST, *versions],
            trial_ends_at=None if trial is None else instant(trial),
            overrides=overrides,
        )

        assert (found[0].span.start, found[-1].span.end) == (OCTOBER.start, OCTOBER.end)
        for before, after in pairwise(found):
            assert before.span.end == after.span.start == bucket_start(after.span.start)
