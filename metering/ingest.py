"""A verified batch is stored, exactly once: the batch, its samples and the marks for the roll-up
in one transaction. The answer goes out after the commit.

Rows are locked in one order everywhere, so that ingests never deadlock: the batch, its epoch,
applications and instances by name, profiles by digest, the host.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from django.db import connection

from metering.conflicts import delivered_before
from metering.copy_rows import InstanceIds, copy_stream
from metering.known_hosts import KnownHost
from metering.models import Host, HostEpoch, Measurement, SampleBatch
from metering.registration import application_ids, instance_ids
from metering.signatures import Proof
from metering.sql import statement
from metering.wire_body import Batch, InstanceName
from metering.wire_errors import UNKNOWN_ENVIRONMENT, FieldError, OutOfContract
from metering.wire_measurements import SentProfile
from tenants.problems import Problem
from tenants.scope import tenant_scope

# Where samples may be copied into; they are read through metering_sample.
_TABLE = "metering_sample_store"
# Profiles are never deleted, and an agent that keeps its word has some dozens. What a host makes up
# beyond this is refused, without a word to the tenant's other hosts.
PROFILES_PER_HOST_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the host is told: `stored` samples are in the database, now or from before."""

    stored: int
    duplicate: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A batch on its way in."""

    host: KnownHost
    proof: Proof
    batch: Batch
    digest: bytes
    received_at: datetime
    batch_id: UUID


def unknown_environments(batch: Batch, host: KnownHost) -> list[FieldError]:
    """An error for each sample whose environment is unknown or not the host's to use."""
    allowed = {None, *host.environments}
    if allowed.issuperset(environment for environment, *_ in batch.distinct_sources):
        return []
    return [
        FieldError(index, "environment", UNKNOWN_ENVIRONMENT)
        for index, (environment, *_) in enumerate(batch.sources)
        if environment not in allowed
    ]


def store_batch(
    host: KnownHost, proof: Proof, batch: Batch, *, digest: bytes, as_of: datetime
) -> Receipt:
    """Store a batch whose inflated body has this SHA-256.

    Raises OutOfContract for an environment that is not the host's, and Problem 409 for a sequence
    that other bytes have, or an epoch that another host has.
    """
    errors = unknown_environments(batch, host)
    if errors:
        raise OutOfContract(errors)
    delivery = _Delivery(host, proof, batch, digest, as_of, uuid4())
    with tenant_scope(host.tenant_id):
        if not _claim_sequence(delivery):
            return _receipt_of_stored(delivery)
        _claim_epoch(delivery)
        registered = _register_instances(delivery)
        profiles = _register_measurements(delivery)
        _copy_samples(delivery, registered, profiles)
        _note_arrival(delivery, registered)
    # Only now is it certain that others see these rows.
    host.remember(batch.epoch, registered, {each.digest: each.id for each in profiles.values()})
    return Receipt(batch.samples, duplicate=False, sequence=batch.sequence)


def _execute(name: str, parameters: dict[str, Any]) -> bool:
    """Run sql/<name>.sql; whether a row came back.

    Prepared once a connection: planned anew for each batch, these two statements cost as much
    again as they do.
    """
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement(name), parameters, prepare=True)
        return cursor.description is not None and cursor.fetchone() is not None


def _claim_sequence(delivery: _Delivery) -> bool:
    proof, batch = delivery.proof, delivery.batch
    return _execute(
        "insert_batch",
        {
            "id": delivery.batch_id,
            "tenant_id": delivery.host.tenant_id,
            "host_id": delivery.host.host_id,
            "epoch": batch.epoch,
            "sequence": batch.sequence,
            "digest": delivery.digest,
            "samples": batch.samples,
            "key_id": proof.key_id,
            "signature_input": proof.signature_input,
            "signature": proof.signature,
            "content_digest": proof.content_digest,
            "signature_base": proof.signature_base,
            "sent_at": batch.sent_at,
            "received_at": delivery.received_at,
        },
    )


def _receipt_of_stored(delivery: _Delivery) -> Receipt:
    batch = delivery.batch
    stored = SampleBatch.objects.get(
        host_id=delivery.host.host_id, epoch=batch.epoch, sequence=batch.sequence
    )
    if bytes(stored.digest) != delivery.digest:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"Sequence {batch.sequence} of this epoch was delivered before, with other bytes.",
            kind="sequence-in-use",
            title="Sequence already used",
            stored=delivered_before(delivery.host, batch),
        )
    return Receipt(stored.samples, duplicate=True, sequence=batch.sequence)


def _claim_epoch(delivery: _Delivery) -> None:
    epoch = delivery.batch.epoch
    if epoch in delivery.host.epochs:
        return
    HostEpoch.objects.bulk_create(
        [HostEpoch(epoch=epoch, host_id=delivery.host.host_id)], ignore_conflicts=True
    )
    owner = HostEpoch.objects.select_related("host").get(epoch=epoch).host
    if owner.pk != delivery.host.host_id:
        raise _epoch_in_use(owner)


def _epoch_in_use(owner: Host) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        f"This epoch belongs to the host {owner.name!r}; was its state copied to this one?",
        kind="epoch-in-use",
        title="Epoch in use by another host",
        host={"id": str(owner.pk), "name": owner.name},
    )


def _register_instances(delivery: _Delivery) -> dict[InstanceName, InstanceIds]:
    """What the batch's names stand for; applications and instances seen for the first time are
    registered."""
    host = delivery.host
    names = {source[:3] for source in delivery.batch.distinct_sources}
    known = {name: host.instances[name] for name in names if name in host.instances}
    unseen = names.difference(known)
    return known | _registered(unseen, delivery) if unseen else known


def _registered(names: set[InstanceName], delivery: _Delivery) -> dict[InstanceName, InstanceIds]:
    host, as_of = delivery.host, delivery.received_at
    environment_of: dict[str | None, UUID] = {None: host.environment_id}
    environment_of.update(host.environments)
    applications = application_ids(
        {(environment_of[environment], application) for environment, application, _ in names},
        seen_at=as_of,
        used_from=min(window.bucket for window in delivery.batch.windows.values()),
    )
    application_of = {name: applications[environment_of[name[0]], name[1]] for name in names}
    instances = instance_ids(
        {(application_of[name], name[2]) for name in names}, host.host_id, seen_at=as_of
    )
    return {
        name: InstanceIds(application_of[name], instances[application_of[name], name[2]])
        for name in names
    }


@dataclass(frozen=True, slots=True)
class _Profile:
    """A stored profile."""

    digest: bytes
    id: UUID


def _register_measurements(delivery: _Delivery) -> dict[str, _Profile]:
    """The stored profile for each key of the batch; content seen for the first time is stored."""
    sent, known = delivery.batch.measurements, delivery.host.measurements
    unseen = {each.digest: each for each in sent.values() if each.digest not in known}
    ids = known | _measurement_ids(unseen, delivery.host.host_id) if unseen else known
    return {key: _Profile(each.digest, ids[each.digest]) for key, each in sent.items()}


def _measurement_ids(unseen: dict[bytes, SentProfile], host_id: UUID) -> dict[bytes, UUID]:
    """Raises OutOfContract where the host has brought too many."""
    Measurement.objects.bulk_create(
        [
            Measurement(digest=digest, body=json.loads(unseen[digest].body), brought_by=host_id)
            for digest in sorted(unseen)
        ],
        ignore_conflicts=True,
    )
    if Measurement.objects.filter(brought_by=host_id).count() > PROFILES_PER_HOST_MAX:
        reason = f"holds more than the {PROFILES_PER_HOST_MAX:,} profiles that one host may bring"
        raise OutOfContract([FieldError(None, "measurements", reason)])
    rows = Measurement.objects.filter(digest__in=list(unseen)).values_list("digest", "id")
    return {bytes(digest): pk for digest, pk in rows}


def _copy_samples(
    delivery: _Delivery,
    registered: dict[InstanceName, InstanceIds],
    profiles: dict[str, _Profile],
) -> None:
    stream = copy_stream(
        delivery.batch,
        tenant_id=delivery.host.tenant_id,
        batch_id=delivery.batch_id,
        ids=registered,
        measurements={key: profile.id for key, profile in profiles.items()},
    )
    with connection.cursor() as cursor, cursor.copy(stream.statement(_TABLE)) as copy:
        copy.write(stream.data)


def _note_arrival(delivery: _Delivery, registered: dict[InstanceName, InstanceIds]) -> None:
    batch = delivery.batch
    marks = _marks(batch, registered)
    _execute(
        "note_arrival",
        {
            "tenant_id": delivery.host.tenant_id,
            "host_id": delivery.host.host_id,
            # As text: adapting array by array costs more than the statement.
            "applications": _array(application_id for application_id, _ in marks),
            "buckets": _array(bucket.isoformat() for _, bucket in marks),
            "received_at": delivery.received_at,
            "window_end": max(window.end for window in batch.windows.values()),
            "samples": batch.samples,
            "clock_skew_ms": delivery.proof.skew_ms(delivery.received_at),
        },
    )


def _array(values: Iterable[object]) -> str:
    """A PostgreSQL array of values that need no quotes."""
    return f"{{{','.join(map(str, values))}}}"


def _marks(batch: Batch, registered: dict[InstanceName, InstanceIds]) -> set[tuple[UUID, datetime]]:
    """The batch's (application, bucket) pairs."""
    applications = {ids.application_id for ids in registered.values()}
    buckets = {window.bucket for window in batch.windows.values()}
    if len(buckets) == 1 or len(applications) == 1:
        return {(application, bucket) for application in applications for bucket in buckets}
    return {
        (registered[source[:3]].application_id, batch.windows[span].bucket)
        for source, span in set(zip(batch.sources, batch.spans, strict=True))
    }
