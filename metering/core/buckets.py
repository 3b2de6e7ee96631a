"""5-minute buckets: the grain of rollups, of assignments and of burst billing."""

from datetime import UTC, datetime, timedelta

from hostmeter_agent.wire import BUCKET_SECONDS

BUCKET = timedelta(seconds=BUCKET_SECONDS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bucket_of(instant: datetime) -> datetime:
    """The start, in UTC, of the bucket that `instant` lies in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % BUCKET
