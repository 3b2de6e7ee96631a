"""When a message is sent again."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tenants.core.webhooks import (
    ATTEMPTS_MAX,
    WAITS,
    is_given_up,
    message_body,
    next_attempt_at,
)

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class TestAMessageThatIsNotTaken:
    @given(st.uuids())
    def test_is_tried_for_three_days_and_never_after_four(self, delivery: UUID) -> None:
        moment: datetime = NOON
        attempts = 1
        while (again := next_attempt_at(moment, attempts, delivery)) is not None:
            assert again > moment
            moment, attempts = again, attempts + 1
        assert attempts == ATTEMPTS_MAX
        assert timedelta(days=3) <= moment - NOON <= timedelta(days=3, hours=8)

    @given(st.uuids(), st.integers(1, ATTEMPTS_MAX - 1))
    def test_waits_longer_by_a_tenth_at_most(self, delivery: UUID, attempts: int) -> None:
        again = next_attempt_at(NOON, attempts, delivery)
        assert again is not None
        wait = WAITS[attempts - 1]
        assert wait <= again - NOON <= wait * 1.1
        assert again == next_attempt_at(NOON, attempts, delivery)

    def test_waits_longer_each_time(self) -> None:
        assert list(WAITS) == sorted(set(WAITS))

    def test_goes_again_at_another_moment_than_its_neighbours(self) -> None:
        moments = {next_attempt_at(NOON, 5, UUID(int=each)) for each in range(100)}
        assert len(moments) == 100


def test_an_endpoint_is_given_up_when_a_message_has_been_tried_for_three_days() -> None:
    last = NOON + sum(WAITS, timedelta())
    assert is_given_up(NOON, last)
    assert not is_given_up(NOON, last - timedelta(seconds=6))


def test_a_message_reads_as_documented() -> None:
    body = message_body(UUID(int=7), "invoice.paid", NOON, {"number": "Ä-1", "total": "0.10"})
    assert json.loads(body) == {
        "id": "msg_00000000000000000000000000000007",
        "type": "invoice.paid",
        "timestamp": "2026-11-26T12:00:00Z",
        "data": {"number": "Ä-1", "total": "0.10"},
    }
