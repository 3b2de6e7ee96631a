"""The Prometheus text format, as far as the wanted names go."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.words.amounts import nanos
from hostmeter_agent.words.checks import Conditions

START: Final = "process_start_time_seconds"
# Possessive throughout: an application's page may be made to take long, and nothing else is
# measured while an expression is tried. So each takes time in proportion to its text.
_SAMPLE: Final = re.compile(
    r'([a-zA-Z_:][\w:]*+)\s*+(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*+")*+)\})?+\s*+([^\s#]++)'
)
_LABEL: Final = re.compile(r'\s*+([a-zA-Z_]\w*+)\s*+=\s*+"((?:[^"\\]|\\.)*+)"\s*+(?:,|$)')
_ESCAPED: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True, slots=True)
class Series:
    """One sample: its labels, its value in billionths, and a short digest of its identity."""

    labels: Mapping[str, str]
    value: int
    digest: str


@dataclass(slots=True)
class Page:
    """What a page says of the wanted names. start: when the process began, in billionths of a
    second, where exactly one sample says so. refused: samples that are no finite number."""

    series: dict[str, list[Series]] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    start: int | None = None
    refused: set[str] = field(default_factory=set)

    def names(self, name: str) -> bool:
        """Whether the page has a metric, if only its declaration."""
        return name in self.series or any(
            name == family or name.startswith(f"{family}_") for family in self.declared
        )


def read_page(text: str, wanted: Collection[str]) -> Page:
    """The samples of the wanted names in a page. What is in no known form is passed over."""
    page = Page()
    starts: list[int] = []
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            page.declared.add(line.split(" ")[2])
            continue
        found = _SAMPLE.match(line)
        if found is None or (found[1] not in wanted and found[1] != START):
            continue
        value = nanos(found[3])
        if value is None or value < 0:
            page.refused.add(found[1])
            continue
        if found[1] == START:
            starts.append(value)
        if found[1] in wanted:
            labels = dict(_labels(found[2] or ""))
            series = Series(labels, value, digest_of(found[1], labels))
            page.series.setdefault(found[1], []).append(series)
    page.start = starts[0] if len(starts) == 1 else None
    return page


def _labels(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while (found := _LABEL.match(text, at)) is not None:
        name, value = found.groups()
        at = found.end()
        yield name, re.sub(r"\\.", lambda escape: _ESCAPED.get(escape[0], escape[0]), value)


def digest_of(name: str, labels: Mapping[str, str]) -> str:
    """A short digest of what tells a series from others."""
    identity = "\0".join([name, *(f"{key}\0{labels[key]}" for key in sorted(labels))])
    return hashlib.blake2b(identity.encode(errors="replace"), digest_size=10).hexdigest()


def passes(labels: Mapping[str, str], where: Conditions, unless: Conditions) -> bool:
    """Whether every `where` and no `unless` is found in the labels; one that is not there is
    empty."""
    return all(pattern.search(labels.get(name, "")) for name, pattern in where) and not any(
        pattern.search(labels.get(name, "")) for name, pattern in unless
    )
