"""A sample as the bytes that its hour's digest is taken of, and that digest.

metering/sql/sample_lines.sql writes the same in the database; a test holds the two against each
other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from hostmeter_agent.wire import ROLES

from billing.core.proof.records import RecordNotReadable, instant, microseconds
from metering.core.aggregation import MeasuredWindow


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A sample and its place in the signed batch that it came in. `measured` is the id of its
    profile, None without one."""

    host: str
    epoch: str
    sequence: int
    index: int
    application: str
    instance: str
    role: str
    start: datetime
    end: datetime
    coverage_ppm: int
    measured: str | None
    usage: Mapping[str, int]


def sample_line(sample: SampleRecord) -> str:
    """Twelve fields with a space between: ids and words as they are, instants in microseconds, "-"
    for no profile, and at last the meters as name=value, in the order of these bytes, with commas
    between."""
    fields = (
        sample.host,
        sample.epoch,
        sample.sequence,
        sample.index,
        sample.application,
        sample.instance,
        sample.role,
        microseconds(sample.start),
        microseconds(sample.end),
        sample.coverage_ppm,
        sample.measured or "-",
        ",".join(sorted(f"{meter}={value}" for meter, value in sample.usage.items())),
    )
    return " ".join(map(str, fields))


def digest_of_lines(lines: Iterable[str]) -> str:
    """The SHA-256 of the lines in the order of their bytes, a line feed between; hexadecimal."""
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


_FIELDS = 12


def sample_from(line: str) -> SampleRecord:
    """The sample that a line says. Raises RecordNotReadable for anything that sample_line() does
    not write."""
    fields = line.split(" ")
    if len(fields) != _FIELDS:
        raise RecordNotReadable(f"a sample has {_FIELDS} fields")
    try:
        sequence, index, start, end, coverage = (int(fields[at]) for at in (2, 3, 7, 8, 9))
        meters = fields[11].split(",") if fields[11] else []
        usage = {name: int(value) for name, _, value in (each.partition("=") for each in meters)}
    except ValueError as error:
        raise RecordNotReadable("a number of a sample is not readable") from error
    sample = SampleRecord(
        fields[0], fields[1], sequence, index, fields[4], fields[5], fields[6],
        instant(start), instant(end), coverage, None if fields[10] == "-" else fields[10], usage,
    )  # fmt: skip
    if sample.role not in ROLES or sample_line(sample) != line:
        raise RecordNotReadable("a sample is not written as it has to be")
    return sample


def as_window(sample: SampleRecord) -> MeasuredWindow:
    """The sample as far as a rollup looks at it."""
    return MeasuredWindow(
        UUID(sample.application),
        UUID(sample.instance),
        sample.role,
        sample.start,
        sample.end,
        sample.coverage_ppm,
        sample.usage,
        None if sample.measured is None else UUID(sample.measured),
    )
