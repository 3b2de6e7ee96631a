"""When a webhook is sent again, and how a message reads."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

# After the first attempt, the second …; together three days.
WAITS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=18),
    timedelta(hours=22, minutes=25),
)
ATTEMPTS_MAX: Final = len(WAITS) + 1
# A wait is at most a tenth longer, so that what failed together is not sent again together; never
# shorter, so that the last attempt is three days after the first.
_STRETCH_MAX: Final = 10
_DISABLED_AFTER: Final = sum(WAITS, timedelta())


def next_attempt_at(attempted_at: datetime, attempts: int, of: UUID) -> datetime | None:
    """When the delivery `of` is tried again whose attempt number `attempts` failed at
    `attempted_at`; None after the last. The same for the same, so that it can be foretold."""
    if attempts >= ATTEMPTS_MAX:
        return None
    wait = WAITS[attempts - 1]
    drawn = sha256(of.bytes + attempts.to_bytes(2)).digest()
    share = int.from_bytes(drawn[:2])
    return attempted_at + wait + wait * share // (_STRETCH_MAX * 2**16)


def is_given_up(failing_since: datetime, as_of: datetime) -> bool:
    """Whether an endpoint is sent nothing more that has not answered well since then."""
    return as_of - failing_since >= _DISABLED_AFTER


def message_id(event_id: UUID) -> str:
    """The event's name in every attempt to deliver it, by which a receiver knows it again."""
    return f"msg_{event_id.hex}"


def message_body(
    event_id: UUID, event_type: str, occurred_at: datetime, data: Mapping[str, Any]
) -> str:
    """The message of an event: the same text each time it is sent."""
    moment = occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(
        {"id": message_id(event_id), "type": event_type, "timestamp": moment, "data": dict(data)},
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=False,
    )
