"""What stands behind the quantities: keys, batches, samples' digests, rollups."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from billing.core.periods import Period
from billing.core.proof.known import Assigned, InstanceKnown
from billing.core.proof.records import (
    BatchRecord,
    RecordNotReadable,
    batch_from,
    canonical,
    digest_from,
    identifier,
    instant,
    integer,
    member,
    sha256_of,
    text,
)
from hostmeter_verify.bundle import Bundle
from hostmeter_verify.ed25519 import TOGETHER_MAX, Signed, first_invalid
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.progress import Progress
from hostmeter_verify.signatures import BaseNotKept, HostKey, key_from, signed_by_host
from metering.core.quality import Profile, profile_of

_RECORDS_MAX: Final = 1_000_000
_PROFILES_BYTES_MAX: Final = 16 << 20
Hour = tuple[str, datetime]


@dataclass(slots=True)
class Evidence:
    """What was counted on the way, and what could not be verified."""

    batches: int = 0
    hosts: set[str] = field(default_factory=set)
    samples: int = 0
    samples_read: int = 0
    rollups: int = 0
    events: Counter[Hour] = field(default_factory=Counter)
    assigned: Sequence[Assigned] = ()
    unverified: list[str] = field(default_factory=list)

    def is_assigned(self, application: UUID, bucket: datetime) -> bool:
        return any(
            each.application == str(application) and each.start <= bucket < each.end
            for each in self.assigned
        )


def checked_keys(bundle: Bundle) -> dict[str, HostKey]:
    """Raises Difference."""
    keys: dict[str, HostKey] = {}
    for record in record_list(bundle, "keys.json"):
        try:
            key_id, key = key_from(record)
        except (RecordNotReadable, ValueError, AttributeError, TypeError) as error:
            raise Difference("keys.json", "a key", "a host's public key", error) from error
        require(key_id not in keys, "keys.json", "a key's id", "each once", key_id)
        keys[key_id] = key
    return keys


def check_batches(
    bundle: Bundle, keys: Mapping[str, HostKey], evidence: Evidence, progress: Progress
) -> None:
    """Every batch was signed by a key of its host. Raises Difference."""
    last: tuple[str, str, int] | None = None
    used = unsigned = 0
    heap: list[tuple[str, Signed]] = []
    for batch in _batches(bundle):
        key = (batch.host, batch.epoch, batch.sequence)
        require(last is None or last < key, "batches.jsonl.gz", "the order", f"after {last}", key)
        require(batch.used <= batch.samples, batch.name, "its samples", batch.samples, batch.used)
        last, used = key, used + batch.used
        evidence.batches += 1
        evidence.hosts.add(batch.host)
        if not batch.signature:
            unsigned += 1
            continue
        try:
            heap.append((batch.name, signed_by_host(batch, keys)))
        except BaseNotKept as error:
            evidence.unverified.append(str(error))
        if len(heap) == TOGETHER_MAX:
            _check_signatures(heap)
            heap.clear()
            progress.say(f"{evidence.batches:,} batches")
    _check_signatures(heap)
    if unsigned:
        evidence.unverified.append(f"{unsigned} batches are not signed")
    require_equal("the samples of all batches", "batches.jsonl.gz", evidence.samples, used)


def _check_signatures(heap: Sequence[tuple[str, Signed]]) -> None:
    wrong = first_invalid([signed for _, signed in heap])
    if wrong is not None:
        key = heap[wrong][1].public_key.hex()
        raise Difference(heap[wrong][0], "its signature", f"one by the host key {key}", "another")


def _batches(bundle: Bundle) -> Iterator[BatchRecord]:
    for number, line in enumerate(bundle.records("batches.jsonl.gz"), start=1):
        yield record_of(batch_from, line, f"batches.jsonl.gz, line {number}")


def record_of(read: Any, line: Any, place: str) -> Any:
    try:
        return read(line)
    except RecordNotReadable as error:
        raise Difference(place, "its form", "a record of its table", error) from error


def record_list(bundle: Bundle, name: str) -> list[Any]:
    found = bundle.json(name)
    if not isinstance(found, list) or len(found) > _RECORDS_MAX:
        raise Difference(name, "as a whole", "a list", type(found).__name__)
    for each in found:
        require(isinstance(each, dict), name, "its items", "objects", type(each).__name__)
    return found


def checked_profiles(bundle: Bundle) -> dict[str, Profile]:
    """Each profile has the digest that it was stored under. Raises Difference."""
    profiles: dict[str, Profile] = {}
    last, size = "", 0
    for number, line in enumerate(bundle.records("profiles.jsonl.gz"), start=1):
        place = f"profiles.jsonl.gz, line {number}"
        try:
            body, digest = member(line, "body", dict), sha256_of(line.get("sha256"))
            written, key = canonical(body), identifier(line, "id")
            require(last < key, place, "the order", f"after {last}", key)
            last, size = key, size + len(written)
            require(size <= _PROFILES_BYTES_MAX, place, "their size", _PROFILES_BYTES_MAX, size)
            require_equal(place, "its digest", sha256(written).hexdigest(), digest)
            profiles[key] = profile_of(body)
        except (RecordNotReadable, ValueError, TypeError) as error:
            raise Difference(place, "its form", "a profile", error) from error
    return profiles


@dataclass(frozen=True, slots=True)
class Assignments:
    """Whose usage it is: applications with their names, and from when to when they are billed."""

    names: Mapping[str, str]
    environments: Mapping[str, str]
    assigned: tuple[Assigned, ...]


def checked_assignments(bundle: Bundle, periods: Sequence[Period]) -> Assignments:
    """Stretches inside the billing periods that do not overlap. Raises Difference."""
    names: dict[str, str] = {}
    environments: dict[str, str] = {}
    assigned: list[Assigned] = []
    for record in record_list(bundle, "assignments.json"):
        try:
            application = identifier(record, "application")
            stretch = Assigned(
                application, instant(integer(record, "start")), instant(integer(record, "end"))
            )
            names[application] = text(record, "name")
            environments[application] = text(record, "environment")
        except RecordNotReadable as error:
            raise Difference("assignments.json", "an item", "a stretch", error) from error
        where = f"application {application}"
        inside = any(each.start <= stretch.start < stretch.end <= each.end for each in periods)
        require(inside, "assignments.json", where, "within the periods that are rated", stretch)
        assigned.append(stretch)
    for before, after in pairwise(assigned):
        keys = [(each.application, each.start) for each in (before, after)]
        require(keys[0] < keys[1], "assignments.json", "the order", f"after {keys[0]}", keys[1])
        apart = before.application != after.application or before.end <= after.start
        require(apart, "assignments.json", f"application {after.application}", "no overlap", after)
    return Assignments(names, environments, tuple(assigned))


def checked_digests(bundle: Bundle, evidence: Evidence) -> dict[Hour, tuple[int, str]]:
    """How many samples each application has in each hour, with their digest. Raises Difference."""
    hours: dict[Hour, tuple[int, str]] = {}
    last: Hour | None = None
    for number, line in enumerate(bundle.records("digests.jsonl.gz"), start=1):
        place = f"digests.jsonl.gz, line {number}"
        require(number <= _RECORDS_MAX, place, "how many", f"{_RECORDS_MAX} at most", number)
        digest = record_of(digest_from, line, place)
        key = (digest.application, digest.hour)
        require(last is None or last < key, place, "the order", f"after {last}", key)
        last = key
        hours[key] = (digest.samples, digest.sha256)
        evidence.samples += digest.samples
    return hours


def checked_instances(bundle: Bundle) -> dict[str, InstanceKnown]:
    """Where instances run. Raises Difference."""
    instances: dict[str, InstanceKnown] = {}
    last = ""
    for record in record_list(bundle, "instances.json"):
        try:
            host, key = record.get("host"), identifier(record, "id")
            require(last < key, "instances.json", "the order", f"after {last}", key)
            last = key
            instances[key] = InstanceKnown(
                identifier(record, "application"),
                instant(integer(record, "first_seen_at")),
                None if host is None else identifier(record, "host"),
                text(record, "region"),
                text(record, "host_class"),
            )
        except RecordNotReadable as error:
            raise Difference("instances.json", "an item", "an instance", error) from error
    return instances
