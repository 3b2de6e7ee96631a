"""Rollups and samples one by one, and up to when usage is known, as the portal asks for them. Every
query runs inside a tenant's scope; totals stand in usage.py.

Quantities are exact Python integers in the meter's wire unit (see hostmeter_agent.wire).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from django.db.models import Model
from hostmeter_agent.wire import METERS

from metering.core.buckets import BUCKET
from metering.core.quality import Profile, profile_of
from metering.models import Host, Instance, Sample
from metering.one_of import OneOf
from metering.rollup_models import Rollup

# What stands in a host's place where events or a correction state usage.
NO_HOST = "no host"
HOST_SILENT_AFTER = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class RollupRow:
    """One instance's usage in one bucket. `covered_us` of `window_us` µs were measured. What events
    and corrections state is no host's.
    `measurements` are its samples' profiles, None among them for samples without one."""

    application_id: UUID
    bucket_start: datetime
    instance_id: UUID
    instance: str
    host_id: UUID | None
    host: str
    role: str
    samples: int
    window_us: int
    covered_us: int
    usage: Mapping[str, int]
    measurements: frozenset[UUID | None]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample as the host sent it, and the signed batch that it came in."""

    batch_id: UUID
    batch_index: int
    epoch: UUID
    sequence: int
    received_at: datetime
    host_id: UUID
    host: str
    instance_id: UUID
    instance: str
    role: str
    window_start: datetime
    window_end: datetime
    coverage_ppm: int
    usage: Mapping[str, int]
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class SilentHost:
    """A host that has delivered nothing for longer than its policy allows; its usage is known up
    to `complete_to` and unknown, not zero, after it."""

    host_id: UUID
    name: str
    complete_to: datetime | None


@dataclass(frozen=True, slots=True)
class Completeness:
    """All hosts that report have delivered their usage up to `complete_to`; None before the first
    batch."""

    complete_to: datetime | None
    silent_hosts: tuple[SilentHost, ...]


def rollups_of(
    application_id: UUID, start: datetime, end: datetime, limit: int, offset: int = 0
) -> list[RollupRow]:
    """The application's rollups whose buckets start in [start, end), oldest first."""
    rollups = (
        Rollup.objects.filter(
            application_id=application_id, bucket_start__gte=start, bucket_start__lt=end
        )
        .select_related("instance__host")
        .order_by("bucket_start", "instance_id", "role")
    )
    return [_rollup_row(rollup) for rollup in rollups[offset : offset + limit]]


def rollup_count(
    application_id: UUID, start: datetime, end: datetime, *, without: Collection[UUID] = ()
) -> int:
    """How many rows rollups_of() has in all, or those that have none of some profiles."""
    rollups = Rollup.objects.filter(
        application_id=application_id, bucket_start__gte=start, bucket_start__lt=end
    )
    if without:
        rollups = rollups.exclude(measurements__overlap=list(without))
    return rollups.count()


def _rollup_row(rollup: Rollup) -> RollupRow:
    instance = rollup.instance
    return RollupRow(
        application_id=rollup.application_id,
        bucket_start=rollup.bucket_start,
        instance_id=instance.id,
        instance=instance.name,
        host_id=instance.host_id,
        host=NO_HOST if instance.host is None else instance.host.name,
        role=rollup.role,
        samples=rollup.samples,
        window_us=rollup.window_us,
        covered_us=rollup.covered_us,
        usage=_usage_of(rollup, rollup.more),
        measurements=frozenset(rollup.measurements),
    )


def samples_of(
    application_id: UUID,
    bucket_start: datetime,
    *,
    instance_id: UUID | None = None,
    limit: int = 1_000,
    offset: int = 0,
) -> list[SampleRow]:
    """The samples behind an application's rollups of one bucket, oldest first."""
    samples = Sample.objects.filter(
        application_id=application_id,
        window_start__gte=bucket_start,
        window_start__lt=bucket_start + BUCKET,
    )
    if instance_id is not None:
        samples = samples.filter(instance_id=instance_id)
    ordered = samples.select_related("batch", "instance__host", "measurement").order_by(
        "window_start", "instance_id", "batch_id", "batch_index"
    )
    return [_sample_row(sample) for sample in ordered[offset : offset + limit]]


def _sample_row(sample: Sample) -> SampleRow:
    instance: Instance = sample.instance
    batch = sample.batch
    # Every sample comes from a host.
    host = cast(Host, instance.host)
    return SampleRow(
        batch_id=batch.id,
        batch_index=sample.batch_index,
        epoch=batch.epoch,
        sequence=batch.sequence,
        received_at=batch.received_at,
        host_id=host.pk,
        host=host.name,
        instance_id=instance.id,
        instance=instance.name,
        role=sample.role,
        window_start=sample.window_start,
        window_end=sample.window_end,
        coverage_ppm=sample.coverage_ppm,
        usage=_usage_of(sample, sample.more),
        profile=None if sample.measurement is None else profile_of(sample.measurement.body),
    )


def _usage_of(row: Model, more: Mapping[str, int] | None) -> dict[str, int]:
    built_in = ((meter.name, getattr(row, meter.column)) for meter in METERS)
    usage = {name: int(value) for name, value in built_in if value is not None}
    return usage | dict(more or {})


def completeness(as_of: datetime, application_ids: Sequence[UUID] | None = None) -> Completeness:
    """Up to when the tenant's usage is known, or that of the hosts of some applications.

    A silent host does not hold the instant back; it is listed instead. Hosts of the demo stand
    back behind real ones and are never silent. Nobody waits for a retired host: where no other is
    left, nothing more is to come.
    """
    hosts = Host.objects.select_related("environment__policy")
    if application_ids is not None:
        hosts = hosts.filter(OneOf("instance__application_id", application_ids)).distinct()
    known_hosts = list(hosts)
    every = [host for host in known_hosts if host.retired_at is None]
    if known_hosts and not every:
        delivered = any(host.last_window_end is not None for host in known_hosts)
        return Completeness(as_of if delivered else None, ())
    real = [host for host in every if not host.generated]
    silent = [host for host in real if is_silent(host, as_of)]
    reporting = [host for host in real or every if host not in silent]
    known = [host.last_window_end for host in reporting if host.last_window_end is not None]
    return Completeness(
        complete_to=min(known, default=None),
        silent_hosts=tuple(SilentHost(host.id, host.name, host.last_window_end) for host in silent),
    )


def is_silent(host: Host, as_of: datetime) -> bool:
    """Whether the host, with environment and policy, has delivered nothing for longer than the
    policy allows."""
    policy = host.environment.policy
    after = timedelta(seconds=policy.host_silent_after_seconds) if policy else HOST_SILENT_AFTER
    seen = host.last_seen_at or host.enrolled_at
    return as_of - seen > after


def first_usage_at(application_id: UUID) -> datetime | None:
    """The start of the first bucket with usage; None before the first rollup."""
    first = Rollup.objects.filter(application_id=application_id).order_by("bucket_start")
    start = first.values_list("bucket_start", flat=True).first()
    return None if start is None else start.astimezone(UTC)
