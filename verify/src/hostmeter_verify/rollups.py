"""The rollups, and what they were made of: samples, events and corrections."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from billing.core.proof.behind import (
    Bucket,
    Sources,
    aggregate_of,
    key_of,
    mismatch,
    window_of,
)
from billing.core.proof.known import Known
from billing.core.proof.records import (
    EventRecord,
    RecordNotReadable,
    RollupRecord,
    event_from,
    rollup_from,
)
from billing.core.proof.samples import as_window, digest_of_lines, sample_from
from billing.core.proof.terms import TermsNotReadable, from_json
from hostmeter_verify.bundle import Bundle
from hostmeter_verify.findings import Difference, require, require_equal
from hostmeter_verify.progress import Progress
from hostmeter_verify.usage import Evidence, Hour, record_list, record_of
from metering.core.aggregation import MeasuredWindow, aggregates
from metering.core.buckets import bucket_of
from metering.core.corrections import Correction
from metering.core.hours import hour_of
from metering.core.primaries import PrimaryWindow

# A server takes none that is longer; each bucket of one is looked at.
_CORRECTION_MAX: Final = timedelta(days=92)


def read_sources(
    bundle: Bundle, hours: Mapping[Hour, tuple[int, str]], known: Known, evidence: Evidence
) -> Sources:
    """What rollups are made of: samples, as far as they are here, events and corrections. An
    hour's samples are those of its digest. Raises Difference."""
    sources = Sources(corrections=_corrections(bundle))
    _read_samples(bundle, hours, sources, known, evidence)
    _read_events(bundle, sources, known, evidence)
    known.corrections = sources.corrections
    return sources


def _corrections(bundle: Bundle) -> tuple[Correction, ...]:
    found = []
    for record in record_list(bundle, "corrections.json"):
        try:
            found.append(from_json(Correction, record.get("correction"), "a correction"))
        except (TermsNotReadable, ValueError, TypeError) as error:
            raise Difference("corrections.json", "an item", "a correction", error) from error
        length = found[-1].end - found[-1].start
        allowed = length <= _CORRECTION_MAX
        require(allowed, "corrections.json", "an item", f"{_CORRECTION_MAX} at most", length)
    return tuple(found)


def _read_samples(
    bundle: Bundle,
    hours: Mapping[Hour, tuple[int, str]],
    sources: Sources,
    known: Known,
    evidence: Evidence,
) -> None:
    if "samples.jsonl.gz" not in bundle.members:
        return
    place = "samples.jsonl.gz"
    for hour, lines in groupby(_sample_lines(bundle), key=lambda each: each[0]):
        own = (UUID(hour[0]), hour[1])
        require(own not in sources.sampled_hours, place, str(hour), "an hour at once", "parts")
        require(hour in hours, place, str(hour), "an hour that has a digest", "none")
        texts: list[str] = []
        windows: list[MeasuredWindow] = []
        for _, line, window in lines:
            require(not texts or texts[-1] < line, place, "the order", "sorted lines", line)
            texts.append(line)
            windows.append(window)
            require(len(texts) <= hours[hour][0], place, str(hour), hours[hour][0], "more samples")
        found = digest_of_lines(texts)
        require_equal(f"the samples of {hour[0]}", f"{hour[1]}", hours[hour][1], found)
        for key, rollup in aggregates(windows).items():
            sources.sampled[key.application_id, key.bucket_start][key] = rollup
        sources.sampled_hours.add(own)
        known.windows[hour] = _contested(known, windows)
        evidence.samples_read += len(texts)


def _contested(known: Known, windows: Iterable[MeasuredWindow]) -> list[PrimaryWindow]:
    """The primaries' windows, if there are those of several instances: only then are they asked
    for, and all of a month's would take a gigabyte."""
    found = list(_primaries(known, windows))
    return found if len({each.instance_id for each in found}) > 1 else []


def _primaries(known: Known, windows: Iterable[MeasuredWindow]) -> Iterator[PrimaryWindow]:
    for each in windows:
        instance = known.instances.get(str(each.instance_id))
        if each.role == "primary" and instance is not None:
            yield PrimaryWindow(
                each.application_id, each.instance_id, instance.known_since, each.start, each.end,
                dict(each.usage),
            )  # fmt: skip


def _sample_lines(bundle: Bundle) -> Iterator[tuple[Hour, str, MeasuredWindow]]:
    for number, line in enumerate(bundle.records("samples.jsonl.gz"), start=1):
        place = f"samples.jsonl.gz, line {number}"
        require(isinstance(line, str), place, "its form", "a text", type(line).__name__)
        try:
            sample = sample_from(line)
            yield (sample.application, hour_of(sample.start)), line, as_window(sample)
        except (RecordNotReadable, ValueError) as error:
            raise Difference(place, "its form", "a sample", error) from error


def _read_events(bundle: Bundle, sources: Sources, known: Known, evidence: Evidence) -> None:
    """Bucket by bucket, so that no more than the rollups stay in memory."""
    last: tuple[str, datetime, str, str, str] | None = None
    bucket: list[EventRecord] = []
    for number, line in enumerate(bundle.records("events.jsonl.gz"), start=1):
        event = record_of(event_from, line, f"events.jsonl.gz, line {number}")
        start = bucket_of(event.time)
        key = (event.application, start, event.instance, event.source, event.id)
        require(last is None or last < key, "events.jsonl.gz", "the order", f"after {last}", key)
        if last is not None and last[:2] != key[:2]:
            _state(sources, bucket)
            bucket = []
        last = key
        bucket.append(event)
        if event.properties:
            known.events.setdefault(event.application, []).append(event)
        evidence.events[event.application, hour_of(event.time)] += 1
    _state(sources, bucket)


def _state(sources: Sources, events: Sequence[EventRecord]) -> None:
    for key, rollup in aggregates(map(window_of, events)).items():
        sources.stated[key.application_id, key.bucket_start][key] = rollup


def checked_rollups(
    bundle: Bundle,
    hours: Mapping[Hour, tuple[int, str]],
    sources: Sources,
    evidence: Evidence,
    progress: Progress,
) -> Iterator[RollupRecord]:
    """The rollups, each once and in order, that are what their sources make them, and whose samples
    are as many as there are digests of. Raises Difference."""
    samples: Counter[Hour] = Counter()
    visited: set[Bucket] = set()
    for bucket, rollups in groupby(_ordered_rollups(bundle), key=_bucket_of):
        own = list(rollups)
        visited.add(bucket)
        _check_bucket(sources, bucket, own)
        hour = (str(bucket[0]), hour_of(bucket[1]))
        samples[hour] += sum(each.samples for each in own)
        before = evidence.rollups
        evidence.rollups += len(own)
        if evidence.rollups // 10_000 != before // 10_000:
            progress.say(f"{evidence.rollups:,} rollups")
        yield from own
    for bucket in sources.buckets():
        if bucket not in visited and evidence.is_assigned(*bucket):
            _check_bucket(sources, bucket, [])
    for hour in sorted({*samples, *hours, *evidence.events}):
        counted = hours.get(hour, (0, ""))[0] + evidence.events[hour]
        where = f"{hour[1]}"
        require_equal(f"what is behind the rollups of {hour[0]}", where, counted, samples[hour])


def _ordered_rollups(bundle: Bundle) -> Iterator[RollupRecord]:
    last: tuple[str, datetime, str, str] | None = None
    for number, line in enumerate(bundle.records("usage.jsonl.gz"), start=1):
        rollup = record_of(rollup_from, line, f"usage.jsonl.gz, line {number}")
        key = (rollup.application, rollup.start, rollup.instance, rollup.role)
        require(last is None or last < key, "usage.jsonl.gz", "the order", f"after {last}", key)
        last = key
        yield rollup


def _bucket_of(rollup: RollupRecord) -> Bucket:
    return UUID(rollup.application), rollup.start


def _check_bucket(sources: Sources, bucket: Bucket, rollups: Sequence[RollupRecord]) -> None:
    sampled = (bucket[0], hour_of(bucket[1])) in sources.sampled_hours
    if not (sampled or sources.stated or sources.corrections):
        return
    found = {key_of(each): aggregate_of(each) for each in rollups}
    wrong = mismatch(sources, bucket, found, sampled=sampled)
    if wrong is not None:
        where = f"{bucket[0]} at {bucket[1]}, instance {wrong.key.instance_id}"
        raise Difference("a rollup of its sources", where, wrong.expected, wrong.found)
