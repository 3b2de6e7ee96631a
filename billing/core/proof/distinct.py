"""Which different values a property of usage has: what metering.distinct asks the database."""

from collections.abc import Iterator, Sequence
from typing import Any

from billing.core.periods import Period
from billing.core.proof.known import Known
from billing.core.proof.records import EventRecord, RollupRecord
from billing.core.readings import Reading
from metering.core.buckets import bucket_of

_OF_ROLLUPS = ("instance", "host", "environment")
# An instance, its role, and a value.
Found = tuple[str, str, str]


def distinct_values(
    known: Known, reading: Reading, application: str, rows: Sequence[RollupRecord], span: Period
) -> Iterator[Found]:
    """Every value that an application's usage of the reading's meter has in the span."""
    if reading.distinct in _OF_ROLLUPS:
        yield from _of_rollups(known, reading, application, rows)
    else:
        yield from _of_events(known, reading, application, span)


def _of_rollups(
    known: Known, reading: Reading, application: str, rows: Sequence[RollupRecord]
) -> Iterator[Found]:
    refusing = known.refusing(reading)
    for row in rows:
        if row.usage.get(reading.meter, 0) > 0 and refusing.isdisjoint(row.measured):
            values = {
                "instance": row.instance,
                "host": known.instances[row.instance].host,
                "environment": known.environments[application],
            }
            value = values[reading.distinct]
            if value is not None:
                yield row.instance, row.role, value


def _of_events(known: Known, reading: Reading, application: str, span: Period) -> Iterator[Found]:
    for event in known.events.get(application, ()):
        bucket = bucket_of(event.time)
        if (
            event.meter == reading.meter
            and span.start <= bucket < span.end
            and known.is_assigned(application, bucket)
            and not _is_deleted(known, event)
        ):
            value = event.properties.get(reading.distinct)
            if value is not None:
                yield event.instance, "primary", _as_text(value)


def _is_deleted(known: Known, event: EventRecord) -> bool:
    bucket = bucket_of(event.time)
    return any(
        each.quantities is None
        and str(each.application_id) == event.application
        and each.start <= bucket < each.end
        and (each.instance_id is None or str(each.instance_id) == event.instance)
        and (each.meters is None or event.meter in each.meters)
        for each in known.corrections
    )


def _as_text(value: Any) -> str:
    """As the database gives a JSON value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
