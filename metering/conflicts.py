"""Which samples of a batch a host has delivered before, under whatever number.

A state directory that was copied, or a machine that was set back to a snapshot, sends what waited
at that moment a second time, in a batch made up otherwise. Told which samples are stored, the host
sends the others alone.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from hostmeter_agent.wire import METERS

from metering.copy_rows import coverage_ppm
from metering.known_hosts import KnownHost
from metering.models import Sample
from metering.wire_body import Batch

_Source = tuple[UUID, str, str, str]
_Usage = tuple[tuple[str, int], ...]
_Identity = tuple[_Source, datetime, datetime, int, _Usage]
_BUILT_IN = {meter.column: meter.name for meter in METERS}


def delivered_before(host: KnownHost, batch: Batch) -> list[int]:
    """The places in the batch of samples that are stored: the same instance, role, window,
    coverage and usage. Inside the host's tenant."""
    starts = {window.start for window in batch.windows.values()}
    stored = set(_stored(host, starts))
    return [index for index, identity in enumerate(_sent(host, batch)) if identity in stored]


def _stored(host: KnownHost, starts: set[datetime]) -> Iterator[_Identity]:
    rows = (
        Sample.objects.filter(
            instance__host_id=host.host_id,
            # The span finds the partitions and pages, the list the rows.
            window_start__gte=min(starts),
            window_start__lte=max(starts),
            window_start__in=starts,
        )
        .values(
            *("application__environment_id", "application__name", "instance__name", "role"),
            *("window_start", "window_end", "coverage_ppm", "more"),
            *_BUILT_IN,
        )
        .iterator()
    )
    for row in rows:
        usage = {name: row[column] for column, name in _BUILT_IN.items() if row[column] is not None}
        yield (
            (
                row["application__environment_id"],
                row["application__name"],
                row["instance__name"],
                row["role"],
            ),
            row["window_start"],
            row["window_end"],
            row["coverage_ppm"],
            _sorted(usage | (row["more"] or {})),
        )


def _sent(host: KnownHost, batch: Batch) -> Iterator[_Identity]:
    meters = batch.quantities.meters
    for index, (environment, application, instance, role, _) in enumerate(batch.sources):
        window = batch.windows[batch.spans[index]]
        environment_id = host.environment_id
        if environment is not None:
            environment_id = host.environments[environment]
        values = batch.quantities.rows[index]
        usage = {
            meter: value
            for meter, value in zip(meters, values, strict=True)
            if isinstance(value, int)
        }
        more = batch.quantities.more[index] if batch.quantities.more else {}
        yield (
            (environment_id, application, instance, role),
            window.start,
            window.end,
            coverage_ppm(batch.coverages[index]),
            _sorted(usage | more),
        )


def _sorted(usage: dict[str, int]) -> _Usage:
    return tuple(sorted(usage.items()))
