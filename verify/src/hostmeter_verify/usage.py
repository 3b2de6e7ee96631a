"""What stands behind the quantities: keys, batches, samples' digests, rollups."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Any, Final
from uuid import UUID

from billing.core.proof.quantities import Assigned
from billing.core.proof.records import (
    BatchRecord,
    RecordNotReadable,
    RollupRecord,
    batch_from,
    canonical,
    digest_from,
    identifier,
    instant,
    integer,
    member,
    rollup_from,
    sha256_of,
    text,
)
from billing.core.proof.samples import as_window, digest_of_lines, sample_from
from hostmeter_verify.bundle import Bundle
from hostmeter_verify.ed25519 import TOGETHER_MAX, Signed, first_invalid
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.progress import Progress
from hostmeter_verify.signatures import BaseNotKept, HostKey, key_from, signed_by_host
from metering.core.aggregation import Aggregate, RollupKey, aggregates
from metering.core.hours import hour_of
from metering.core.quality import Profile, profile_of

_RECORDS_MAX: Final = 1_000_000
Hour = tuple[str, datetime]


@dataclass(slots=True)
class Evidence:
    """What was counted on the way, and what could not be verified."""

    batches: int = 0
    hosts: set[str] = field(default_factory=set)
    samples: int = 0
    samples_read: int = 0
    rollups: int = 0
    unverified: list[str] = field(default_factory=list)


def checked_keys(bundle: Bundle) -> dict[str, HostKey]:
    """Raises Difference."""
    keys: dict[str, HostKey] = {}
    for record in _list(bundle, "keys.json"):
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
        yield _record(batch_from, line, f"batches.jsonl.gz, line {number}")


def _record(read: Any, line: Any, place: str) -> Any:
    try:
        return read(line)
    except RecordNotReadable as error:
        raise Difference(place, "its form", "a record of its table", error) from error


def _list(bundle: Bundle, name: str) -> list[Any]:
    found = bundle.json(name)
    if not isinstance(found, list) or len(found) > _RECORDS_MAX:
        raise Difference(name, "as a whole", "a list", type(found).__name__)
    for each in found:
        require(isinstance(each, dict), name, "its items", "objects", type(each).__name__)
    return found


def checked_profiles(bundle: Bundle) -> dict[str, Profile]:
    """Each profile has the digest that it was stored under. Raises Difference."""
    profiles: dict[str, Profile] = {}
    for number, line in enumerate(bundle.records("profiles.jsonl.gz"), start=1):
        place = f"profiles.jsonl.gz, line {number}"
        require(number <= _RECORDS_MAX, place, "how many", f"{_RECORDS_MAX} at most", number)
        try:
            body, digest = member(line, "body", dict), sha256_of(line.get("sha256"))
            require_equal(place, "its digest", sha256(canonical(body)).hexdigest(), digest)
            profiles[identifier(line, "id")] = profile_of(body)
        except (RecordNotReadable, ValueError, TypeError) as error:
            raise Difference(place, "its form", "a profile", error) from error
    return profiles


@dataclass(frozen=True, slots=True)
class Assignments:
    """Whose usage it is: applications with their names, and from when to when they are billed."""

    names: Mapping[str, str]
    assigned: tuple[Assigned, ...]


def checked_assignments(bundle: Bundle, start: datetime, end: datetime) -> Assignments:
    """Stretches inside the billing period that do not overlap. Raises Difference."""
    names: dict[str, str] = {}
    assigned: list[Assigned] = []
    for record in _list(bundle, "assignments.json"):
        try:
            application = identifier(record, "application")
            stretch = Assigned(
                application, instant(integer(record, "start")), instant(integer(record, "end"))
            )
            names[application] = text(record, "name")
        except RecordNotReadable as error:
            raise Difference("assignments.json", "an item", "a stretch", error) from error
        where = f"application {application}"
        inside = start <= stretch.start < stretch.end <= end
        require(inside, "assignments.json", where, f"within {start} to {end}", stretch)
        assigned.append(stretch)
    assigned.sort(key=lambda each: (each.application, each.start))
    for before, after in pairwise(assigned):
        apart = before.application != after.application or before.end <= after.start
        require(apart, "assignments.json", f"application {after.application}", "no overlap", after)
    return Assignments(names, tuple(assigned))


def checked_digests(bundle: Bundle, evidence: Evidence) -> dict[Hour, tuple[int, str]]:
    """How many samples each application has in each hour, with their digest. Raises Difference."""
    hours: dict[Hour, tuple[int, str]] = {}
    for number, line in enumerate(bundle.records("digests.jsonl.gz"), start=1):
        place = f"digests.jsonl.gz, line {number}"
        require(number <= _RECORDS_MAX, place, "how many", f"{_RECORDS_MAX} at most", number)
        digest = _record(digest_from, line, place)
        key = (digest.application, digest.hour)
        require(key not in hours, place, "an application's hour", "each once", key)
        hours[key] = (digest.samples, digest.sha256)
        evidence.samples += digest.samples
    return hours


def sampled_rollups(
    bundle: Bundle, hours: Mapping[Hour, tuple[int, str]], evidence: Evidence
) -> tuple[dict[RollupKey, Aggregate], set[Hour]]:
    """The rollups that the bundle's own samples come to, and the hours that they fill. An hour's
    samples are those of its digest. Raises Difference."""
    found: dict[RollupKey, Aggregate] = {}
    filled: set[Hour] = set()
    if "samples.jsonl.gz" not in bundle.members:
        return found, filled
    place = "samples.jsonl.gz"
    for hour, lines in groupby(_sample_lines(bundle), key=lambda each: each[0]):
        require(hour not in filled, place, str(hour), "an hour's samples together", "apart")
        require(hour in hours, place, str(hour), "an hour that has a digest", "none")
        texts, windows = [], []
        for _, line, window in lines:
            texts.append(line)
            windows.append(window)
            require(len(texts) <= hours[hour][0], place, str(hour), hours[hour][0], "more samples")
        require_equal(
            f"the samples of {hour[0]}", f"{hour[1]}", hours[hour][1], digest_of_lines(texts)
        )
        found.update(aggregates(windows))
        filled.add(hour)
        evidence.samples_read += len(texts)
    return found, filled


def _sample_lines(bundle: Bundle) -> Iterator[tuple[Hour, str, Any]]:
    for number, line in enumerate(bundle.records("samples.jsonl.gz"), start=1):
        place = f"samples.jsonl.gz, line {number}"
        require(isinstance(line, str), place, "its form", "a text", type(line).__name__)
        try:
            sample = sample_from(line)
            yield (sample.application, hour_of(sample.start)), line, as_window(sample)
        except (RecordNotReadable, ValueError) as error:
            raise Difference(place, "its form", "a sample", error) from error


def checked_rollups(
    bundle: Bundle,
    hours: Mapping[Hour, tuple[int, str]],
    sampled: tuple[Mapping[RollupKey, Aggregate], set[Hour]],
    evidence: Evidence,
    progress: Progress,
) -> Iterator[RollupRecord]:
    """The rollups, each once and in order, whose samples are those of the digests, and where the
    samples are there too, what they come to. Raises Difference."""
    samples: Counter[Hour] = Counter()
    met: defaultdict[Hour, int] = defaultdict(int)
    last: tuple[str, datetime, str, str] | None = None
    for number, line in enumerate(bundle.records("usage.jsonl.gz"), start=1):
        rollup = _record(rollup_from, line, f"usage.jsonl.gz, line {number}")
        key = (rollup.application, rollup.start, rollup.instance, rollup.role)
        require(last is None or last < key, "usage.jsonl.gz", "the order", f"after {last}", key)
        last = key
        hour = (rollup.application, hour_of(rollup.start))
        samples[hour] += rollup.samples
        if hour in sampled[1]:
            _check_rollup(rollup, sampled[0])
            met[hour] += 1
        evidence.rollups += 1
        if number % 10_000 == 0:
            progress.say(f"{number:,} rollups")
        yield rollup
    for hour in sorted({*samples, *hours}):
        counted = hours.get(hour, (0, ""))[0]
        require_equal(
            f"the samples behind the rollups of {hour[0]}", f"{hour[1]}", counted, samples[hour]
        )
    require_equal(
        "the rollups of the samples", "usage.jsonl.gz", len(sampled[0]), sum(met.values())
    )


def _check_rollup(rollup: RollupRecord, sampled: Mapping[RollupKey, Aggregate]) -> None:
    key = RollupKey(UUID(rollup.application), rollup.start, UUID(rollup.instance), rollup.role)
    where = f"{rollup.application} at {rollup.start}"
    expected = sampled.get(key)
    if expected is None:
        raise Difference("usage.jsonl.gz", where, "a rollup with samples", "one without")
    found = Aggregate(
        rollup.samples,
        rollup.window_us,
        rollup.covered_us,
        dict(rollup.usage),
        frozenset(None if each is None else UUID(each) for each in rollup.measured),
    )
    require_equal("a rollup of its samples", where, expected, found)
