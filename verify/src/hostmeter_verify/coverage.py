"""Gaps of silent hosts: how long they were stands in no rollup."""

from collections.abc import Mapping
from typing import Any

from billing.core.contract import Contract, priced_spans
from billing.core.periods import Period
from billing.core.proof.quantities import SpanUsage

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


def _names_silence(line: Mapping[str, Any]) -> bool:
    facts = line.get("facts")
    coverage = facts.get("coverage") if isinstance(facts, dict) else None
    causes = coverage.get("causes") if isinstance(coverage, dict) else None
    return isinstance(causes, list) and any(
        isinstance(each, dict) and each.get("cause") == "host-silent" for each in causes
    )
