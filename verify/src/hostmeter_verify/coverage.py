"""Gaps of silent hosts: how long they were stands in no rollup."""

from collections.abc import Mapping
from typing import Any

from billing.core.contract import Contract, credited_spans, priced_spans
from billing.core.gap_credit import TIME, ExpectedTime
from billing.core.periods import Period
from billing.core.proof.quantities import MeasuredTime, SpanUsage
from hostmeter_verify.findings import require

_FILLED = ("held", "interpolated")


def gaps_not_known(
    invoice: Mapping[str, Any], contract: Contract, read: Mapping[Period, SpanUsage]
) -> list[str]:
    """Lines whose price bills gaps, where more usage was expected than the rollups say."""
    filled = {
        each.full.id
        for each in priced_spans(contract)
        if each.full.reading is not None and each.full.reading.gaps in _FILLED
    }
    found = []
    for number, line in enumerate(invoice["lines"], start=1):
        if line.get("price") in filled and _names_silence(line):
            found.append(f"line {number}, {line.get('label')}: what a silent host would have used")
    return found


def expected_time(invoice: Mapping[str, Any], span: Period, read: SpanUsage) -> ExpectedTime:
    """The time that gaps of the span are credited by: measured as the rollups say, expected as the
    invoice says, and no less than the rollups say. Raises Difference."""
    rolled = _rolled_up(read)
    stated = _stated(invoice, span)
    if stated is None:
        return ExpectedTime(rolled.covered_us, rolled.window_us)
    place = f"a credit for gaps, {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} UTC"
    enough = stated >= rolled.window_us
    require(enough, place, "the expected time in µs", f"{rolled.window_us} or more", stated)
    return ExpectedTime(rolled.covered_us, stated)


def credits_not_known(
    invoice: Mapping[str, Any], contract: Contract, read: Mapping[Period, SpanUsage]
) -> list[str]:
    """Where more usage was expected than the rollups say, or may have been, and flat fees are given
    back for what was not measured."""
    silent = any(_names_silence(line) for line in invoice["lines"])
    found = []
    for span in credited_spans(contract):
        stated = _stated(invoice, span)
        if silent if stated is None else stated > _rolled_up(read[span]).window_us:
            found.append(
                f"what fees give back for {span.start:%Y-%m-%d %H:%M} to "
                f"{span.end:%Y-%m-%d %H:%M} UTC: for how long a silent host was expected"
            )
    return found


def _rolled_up(read: SpanUsage) -> MeasuredTime:
    return read.measured.get(None, MeasuredTime(0, 0))


def _stated(invoice: Mapping[str, Any], span: Period) -> int | None:
    """For how long the invoice says that usage of the span was expected, in µs."""
    for line in invoice["lines"]:
        facts = line.get("facts")
        time = facts.get(TIME) if isinstance(facts, dict) else None
        bounds = (span.start.isoformat(), span.end.isoformat())
        if isinstance(time, dict) and (time.get("from"), time.get("to")) == bounds:
            expected = time.get("expected_us")
            return expected if type(expected) is int else None
    return None


def _names_silence(line: Mapping[str, Any]) -> bool:
    facts = line.get("facts")
    coverage = facts.get("coverage") if isinstance(facts, dict) else None
    causes = coverage.get("causes") if isinstance(coverage, dict) else None
    return isinstance(causes, list) and any(
        isinstance(each, dict) and each.get("cause") == "host-silent" for each in causes
    )
