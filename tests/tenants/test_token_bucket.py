"""How a bucket empties and fills, in whole parts; and that the shared buckets do the same."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from tenants.buckets import TokenBuckets
from tenants.token_bucket import BucketLevel, TokenLimit, full_bucket

SECOND = 1_000_000
NOW = 1_795_600_000 * SECOND

limits = st.builds(TokenLimit, st.integers(1, 10**7), st.integers(1, 10**7))
pauses = st.lists(st.integers(0, 90 * SECOND), min_size=1, max_size=60)


def admitted(limit: TokenLimit, times: Iterator[int]) -> list[int]:
    """The times at which there was a token."""
    level = full_bucket(NOW)
    passed = []
    for now in times:
        level = level.refilled(limit, now)
        if level.has_token(limit):
            level = level.less_a_token()
            passed.append(now)
    return passed


def times_after(steps: list[int]) -> Iterator[int]:
    now = NOW
    for step in steps:
        now += step
        yield now


class TestBucket:
    def test_lets_a_burst_through_and_then_the_steady_rate(self) -> None:
        limit = TokenLimit(per_minute=60, burst=3)
        every_quarter = (NOW + quarter * SECOND // 4 for quarter in range(20))
        passed = [(now - NOW) / SECOND for now in admitted(limit, every_quarter)]
        assert passed == [0, 0.25, 0.5, 1, 2, 3, 4]

    @given(limits, pauses)
    def test_never_lets_more_through_than_its_burst_and_what_came_back(
        self, limit: TokenLimit, steps: list[int]
    ) -> None:
        passed = admitted(limit, times_after(steps))
        for index, first in enumerate(passed):
            for count, last in enumerate(passed[index:], start=1):
                back = (last - first) * limit.per_minute
                assert (count - limit.burst) * 60 * SECOND <= back

    @given(limits, st.integers(0, 10**15), st.integers(0, 5 * SECOND))
    def test_says_in_how_many_seconds_there_is_one_more_and_no_second_too_late(
        self, limit: TokenLimit, missing: int, late: int
    ) -> None:
        level = BucketLevel(min(missing, limit.parts), NOW + late)
        wait, tokens = level.seconds_to_next(limit, NOW), level.tokens(limit)
        more = min(tokens + 1, limit.burst)
        assert level.refilled(limit, NOW + wait * SECOND).tokens(limit) >= more
        if wait > 1 and more > tokens:
            assert level.refilled(limit, NOW + (wait - 1) * SECOND).tokens(limit) == tokens

    def test_of_a_clock_that_is_behind_stays_as_it_is(self) -> None:
        level = BucketLevel(5, NOW)
        assert level.refilled(TokenLimit(60, 1), NOW - SECOND) == level

    def test_that_became_smaller_holds_nothing_until_it_is_less_than_empty(self) -> None:
        level = BucketLevel(TokenLimit(60, 10).parts, NOW)
        smaller = TokenLimit(60, 2)
        assert level.tokens(smaller) == 0
        assert level.seconds_to_next(smaller, NOW) == 9


class TestSharedBuckets:
    @pytest.mark.parametrize("limit", [TokenLimit(7, 3), TokenLimit(10**7, 10**7)])
    def test_are_as_full_as_the_rule_says(self, limit: TokenLimit) -> None:
        shared, name, level = TokenBuckets(), f"key:{uuid4()}", full_bucket(NOW)
        for step in range(40):
            now = NOW + step * step * 123_457
            passed, levels = shared.take({name: limit}, now)
            level = level.refilled(limit, now)
            assert passed is level.has_token(limit)
            level = level.less_a_token() if passed else level
            assert levels == {name: level}

    def test_give_all_together_what_one_would_give(self) -> None:
        limit, name = TokenLimit(600, 100), f"key:{uuid4()}"

        def take_some(_: int) -> int:
            process = TokenBuckets()
            return sum(process.take({name: limit}, NOW)[0] for _ in range(50))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take_some, range(8))) == 100

    def test_are_taken_from_all_or_none(self) -> None:
        large, small = f"key:{uuid4()}", f"tenant:{uuid4()}"
        both = {large: TokenLimit(1, 5), small: TokenLimit(1, 1)}
        results = [TokenBuckets().take(both, NOW) for _ in range(3)]
        assert [passed for passed, _ in results] == [True, False, False]
        assert results[-1][1][large].tokens(both[large]) == 4

    def test_are_each_processs_own_while_the_cache_is_away(self, settings: Settings) -> None:
        limit, name, process = TokenLimit(60, 2), f"key:{uuid4()}", TokenBuckets()
        url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
        assert [process.take({name: limit}, NOW)[0] for _ in range(3)] == [True, True, False]
        settings.REDIS_URL = url
        assert not process.take({name: limit}, NOW)[0]
        passed, levels = process.take({name: limit}, NOW + 11 * SECOND)
        assert passed
        assert levels[name].tokens(limit) == 1
