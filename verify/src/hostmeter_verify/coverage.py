"""Gaps of silent hosts: how long they were stands in no rollup, and is stated where prices look at
them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from billing.core.contract import credited_spans, priced_spans
from billing.core.gap_credit import ExpectedTime
from billing.core.periods import Period
from billing.core.proof.known import Known, Silent
from billing.core.proof.quantities import MeasuredTime, SpanUsage
from billing.core.proof.records import RollupRecord
from hostmeter_verify.findings import require
from hostmeter_verify.terms import RatedPeriod

_FILLED = ("held", "interpolated")


def gaps_not_known(invoice: Mapping[str, Any], periods: Sequence[RatedPeriod]) -> list[str]:
    """Lines whose price bills gaps, where more usage was expected than the rollups say and nobody
    wrote down for how long."""
    filled = {
        each.full.id
        for period in periods
        if period.silences is None
        for each in priced_spans(period.contract)
        if each.full.reading is not None and each.full.reading.gaps in _FILLED
    }
    found = []
    for number, line in enumerate(invoice["lines"], start=1):
        late = line.get("kind") == "late_usage"
        if line.get("price") in filled and (late or _names_silence(line)):
            found.append(f"line {number}, {line.get('label')}: what a silent host would have used")
    return found


def expected_time(known: Known, span: Period, read: SpanUsage) -> ExpectedTime:
    """The time that gaps of the span are credited by: as the rollups and the silences say."""
    rolled = read.measured.get(None, MeasuredTime(0, 0))
    silent_us = sum(
        (min(each.end, span.end) - each.start) // timedelta.resolution
        for each in known.silences_in(span) or ()
    )
    return ExpectedTime(rolled.covered_us, rolled.window_us + silent_us)


def credits_not_known(periods: Sequence[RatedPeriod]) -> list[str]:
    """Where flat fees are given back for what was not measured, and nobody wrote down for how long
    hosts were silent."""
    return [
        f"what fees give back for {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} UTC: "
        "for how long a silent host was expected"
        for period in periods
        if period.silences is None
        for span in credited_spans(period.contract)
    ]


def _names_silence(line: Mapping[str, Any]) -> bool:
    facts = line.get("facts")
    coverage = facts.get("coverage") if isinstance(facts, dict) else None
    causes = coverage.get("causes") if isinstance(coverage, dict) else None
    return isinstance(causes, list) and any(
        isinstance(each, dict) and each.get("cause") == "host-silent" for each in causes
    )


def check_silences(periods: Sequence[RatedPeriod], known: Known) -> None:
    """Each silence is of an instance of the application's, and of time in which its usage is the
    customer's. Raises Difference."""
    for each in (each for period in periods for each in period.silences or ()):
        instance = known.instances.get(each.instance)
        of_it = instance is not None and instance.application == each.application
        where = f"instance {each.instance}"
        require(of_it, "a silence", where, f"an instance of {each.application}", "another")
        inside = any(
            own.application == each.application and own.start <= each.start < each.end <= own.end
            for own in known.assigned
        )
        require(inside, "a silence", where, "time that is billed", f"{each.start} to {each.end}")


def heard(
    rollups: Iterable[RollupRecord], periods: Sequence[RatedPeriod]
) -> Iterator[RollupRecord]:
    """The rollups, none of which was measured while its instance is said to be silent. Raises
    Difference."""
    silences: defaultdict[tuple[str, str], list[Silent]] = defaultdict(list)
    for each in (each for period in periods for each in period.silences or ()):
        silences[each.instance, each.role].append(each)
    for rollup in rollups:
        for each in silences.get((rollup.instance, rollup.role), ()):
            silent = rollup.window_us > 0 and each.start <= rollup.start < each.end
            where = f"instance {rollup.instance} at {rollup.start}"
            require(not silent, "a silence", where, "nothing measured", "a rollup with samples")
        yield rollup
