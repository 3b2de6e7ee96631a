"""Writing a bundle: each member into a file of its own, then the archive. Memory does not grow with
the usage."""

import gzip
import shutil
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, Final, cast
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing.billable import billable_periods
from billing.core.contract import Contract
from billing.core.periods import Period
from billing.core.proof import archive
from billing.core.proof.archive import Member
from billing.core.proof.contests import may_contest
from billing.core.proof.records import (
    BatchRecord,
    EventRecord,
    RollupRecord,
    canonical,
    instant,
)
from billing.models import Invoice
from billing.proof import documents, evidence
from billing.proof.evidence import Behind
from billing.proof.keys import proof_key
from billing.queries.frozen import contracts_in, cut_of, plan_of, terms_of
from billing.queries.ground import Records, assignments_of, hosts_of
from metering.core.hours import HOUR, hour_of
from metering.usage_rows import UsagePeriod

_IN_MEMORY_BYTES_MAX: Final = 1 << 20
_GZIP_LEVEL: Final = 6


_FEWER_SAMPLES: Final = "take the samples of fewer hours"
_LESS_USAGE: Final = (
    "the invoice's documents are complete, and its provider can bill shorter periods from now on"
)


class NotIssued(Exception):
    """Only an issued invoice has a proof: a draft is rated anew when it is issued."""


class BundleTooLarge(Exception):
    """The bundle would have 4 GiB or more; the message says what to do."""


def export_proof(
    invoice: Invoice, out: BinaryIO, *, as_of: datetime, samples: Period | None = None
) -> None:
    """Write the invoice's bundle; with the samples of every hour that `samples` touches. Inside a
    tenant's scope. The same database gives the same bytes. Raises NotIssued and BundleTooLarge."""
    _issued_at(invoice)
    with ExitStack() as stack:
        members = _Members(stack)
        _write_members(invoice, members, samples)
        members.sign(_manifest_head(invoice), proof_key(as_of=as_of))
        members.write_to(out, _LESS_USAGE if samples is None else _FEWER_SAMPLES)


def _manifest_head(invoice: Invoice) -> dict[str, Any]:
    return {
        "version": archive.VERSION,
        "invoice": invoice.reference,
        "tenant": str(invoice.tenant_id),
    }


def _write_members(invoice: Invoice, members: "_Members", samples: Period | None) -> None:
    terms, kept = terms_of(invoice)
    grounded = _as_grounded(invoice, terms)
    members.add("FORMAT", [archive.FORMAT])
    members.add_json("invoice.json", documents.invoice_document(invoice))
    members.add_json("terms.json", documents.terms_document(invoice, grounded, kept=kept))
    billed = documents.billed_document(invoice, terms)
    if billed is not None:
        members.add_json("billed.json", billed)
    members.add_json("assignments.json", grounded["assignments"])
    behind = Behind(_periods(grounded["assignments"]), cut_of(terms, _issued_at(invoice)))
    noted = _Noted()
    _write_usage(behind, noted, members)
    _write_stated(behind, noted, members)
    _write_known(behind, noted, grounded, members)
    once = any(map(_bills_one_primary, contracts_in(terms)))
    _write_samples(behind, noted, members, samples, once=once)


def _issued_at(invoice: Invoice) -> datetime:
    if invoice.finalized_at is None:
        raise NotIssued("a draft has no proof; it is rated anew when it is issued")
    return invoice.finalized_at


def _as_grounded(invoice: Invoice, terms: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terms with what documents did not keep at first, as it is now. The names that stand on
    the document are those of its day."""
    if "assignments" in terms:
        return terms
    periods = [
        usage
        for each in contracts_in(terms)
        for usage in billable_periods(invoice.customer, each.period)
    ]
    lines = invoice.lines.exclude(application=None)
    names = dict(lines.values_list("application_id", "application_name"))
    assignments = [
        {**each, "name": names.get(UUID(each["application"]), each["name"])}
        for each in assignments_of(periods)
    ]
    return {
        "plan": plan_of(invoice),
        **terms,
        "assignments": assignments,
        "hosts": hosts_of(periods),
    }


def _periods(assignments: Records) -> list[UsagePeriod]:
    return [
        UsagePeriod(UUID(each["application"]), instant(each["start"]), instant(each["end"]))
        for each in assignments
    ]


def _bills_one_primary(contract: Contract) -> bool:
    every = (price.spec.reading for terms in contract.terms for price in terms.prices)
    return any(reading is not None and reading.primaries == "one" for reading in every)


@dataclass(slots=True)
class _Noted:
    """What is met on the way and has to be told as well."""

    profiles: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    primaries: defaultdict[tuple[str, datetime], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def rollups(self, rollups: Iterable[RollupRecord]) -> Iterator[RollupRecord]:
        for each in rollups:
            self.profiles.update(known for known in each.measured if known is not None)
            self.instances.add(each.instance)
            if may_contest(each):
                self.primaries[each.application, hour_of(each.start)].add(each.instance)
            yield each

    def batches(self, batches: Iterable[BatchRecord]) -> Iterator[BatchRecord]:
        for each in batches:
            self.keys.add(each.key_id)
            yield each

    def events(self, events: Iterable[EventRecord]) -> Iterator[EventRecord]:
        for each in events:
            self.instances.add(each.instance)
            yield each

    def contested_hours(self) -> list[tuple[UUID, datetime]]:
        found = (place for place, own in self.primaries.items() if len(own) > 1)
        return sorted((UUID(application), hour) for application, hour in found)


def _write_usage(behind: Behind, noted: _Noted, members: "_Members") -> None:
    rollups = noted.rollups(evidence.rollups_behind(behind))
    batches = noted.batches(evidence.batches_behind(behind))
    members.add_records("usage.jsonl.gz", (each.to_json() for each in rollups))
    members.add_records("batches.jsonl.gz", (each.to_json() for each in batches))
    digests = evidence.digests_behind(behind)
    members.add_records("digests.jsonl.gz", (each.to_json() for each in digests))


def _write_stated(behind: Behind, noted: _Noted, members: "_Members") -> None:
    events = noted.events(evidence.events_behind(behind))
    members.add_records("events.jsonl.gz", (each.to_json() for each in events))
    corrections = documents.corrections_document(evidence.corrections_before(behind))
    members.add_json("corrections.json", corrections)
    for each in corrections:
        own = (each["correction"][name] for name in ("instance_id", "stands_on"))
        noted.instances.update(instance for instance in own if instance is not None)


def _write_known(
    behind: Behind, noted: _Noted, terms: Mapping[str, Any], members: "_Members"
) -> None:
    for each in (terms, *terms["restated"]):
        noted.instances.update(silence["instance"] for silence in each["silences"] or ())
    instances = evidence.instances_with(noted.instances)
    members.add_json("instances.json", documents.instances_document(instances, terms["hosts"]))
    members.add_records("profiles.jsonl.gz", evidence.profiles_with(noted.profiles))
    keys = evidence.keys_named(noted.keys)
    members.add_json("keys.json", documents.keys_document(keys, behind.cut.at))


def _write_samples(
    behind: Behind, noted: _Noted, members: "_Members", samples: Period | None, *, once: bool
) -> None:
    """Those that are asked for, and those without which nobody can tell which of two primaries is
    billed."""
    contested = noted.contested_hours() if once else []
    if not behind.periods or (samples is None and not contested):
        return
    asked = () if samples is None else evidence.sample_lines(behind, samples.start, samples.end)
    more = (
        line
        for application_id, hour in contested
        if samples is None or not hour_of(samples.start) <= hour < samples.end
        for line in evidence.sample_lines(behind.of(application_id), hour, hour + HOUR)
    )
    members.add_records("samples.jsonl.gz", chain(asked, more))


class _Members:
    """The members, each in a temporary file, until all of them are known."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: dict[str, IO[bytes]] = {}
        self._digests: dict[str, tuple[int, int, str]] = {}

    def add_json(self, name: str, document: object) -> None:
        self.add(name, [canonical(document) + b"\n"])

    def add_records(self, name: str, records: Iterable[object]) -> None:
        """One JSON value a line, compressed."""
        file = self._file(name)
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, cast(BinaryIO, file), mtime=0) as lines:
            for record in records:
                lines.write(canonical(record) + b"\n")
        self._measure(name, file)

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        file = self._file(name)
        for piece in pieces:
            file.write(piece)
        self._measure(name, file)

    def sign(self, head: dict[str, Any], key: Ed25519PrivateKey) -> None:
        """The manifest over all members so far, and its signature."""
        manifest = canonical(
            head
            | {
                "proof_key": key.public_key().public_bytes_raw().hex(),
                "members": {
                    name: {"size": size, "sha256": digest}
                    for name, (size, _, digest) in self._digests.items()
                },
            }
        )
        self.add(archive.MANIFEST, [manifest])
        self.add(archive.SIGNATURE, [key.sign(archive.SIGNED_PREFIX + manifest)])

    def write_to(self, out: BinaryIO, advice: str) -> None:
        """The archive. Raises BundleTooLarge, with the advice, before a byte of it is written."""
        members: list[Member] = []
        for name in sorted(self._files):
            size, crc32, _ = self._digests[name]
            members.append(Member(name, size, crc32, members[-1].end if members else 0))
        if members[-1].end >= archive.BYTES_BELOW - (1 << 16):
            raise BundleTooLarge(
                f"the proof bundle would have 4 GiB or more, and cannot be written; {advice}"
            )
        for member in members:
            out.write(archive.local_header(member))
            file = self._files[member.name]
            file.seek(0)
            shutil.copyfileobj(file, out)
        out.write(archive.ending(members))

    def _file(self, name: str) -> IO[bytes]:
        file = self._stack.enter_context(SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX))  # noqa: SIM115
        self._files[name] = cast(IO[bytes], file)
        return self._files[name]

    def _measure(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        digest, crc32, size = sha256(), 0, 0
        while chunk := file.read(1 << 16):
            digest.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
            size += len(chunk)
        self._digests[name] = (size, crc32, digest.hexdigest())
