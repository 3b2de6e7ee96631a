"""Writing a bundle: each member into a file of its own, then the archive. Memory does not grow with
the usage."""

import gzip
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing.billable import billable_periods
from billing.core.contract import Contract
from billing.core.periods import Period
from billing.core.proof import archive
from billing.core.proof.archive import Member
from billing.core.proof.records import BatchRecord, RollupRecord, canonical
from billing.core.proof.terms import from_json
from billing.models import Invoice
from billing.proof import documents, evidence
from billing.proof.evidence import Behind
from billing.proof.keys import proof_key
from billing.queries.frozen import terms_of
from metering.core.hours import HOUR, hour_of
from metering.models import Application
from metering.primaries import contested_hours

_IN_MEMORY_BYTES_MAX: Final = 1 << 20
_GZIP_LEVEL: Final = 6


class NotIssued(Exception):
    """Only an issued invoice has a proof: a draft is rated anew when it is issued."""


class BundleTooLarge(Exception):
    """The bundle would have 4 GiB or more."""


def export_proof(
    invoice: Invoice, out: BinaryIO, *, as_of: datetime, samples: Period | None = None
) -> None:
    """Write the invoice's bundle; with the samples of every hour that `samples` touches. Inside a
    tenant's scope. The same database gives the same bytes. Raises NotIssued and BundleTooLarge."""
    if invoice.finalized_at is None:
        raise NotIssued("a draft has no proof; it is rated anew when it is issued")
    with ExitStack() as stack:
        members = _Members(stack)
        _write_members(invoice, invoice.finalized_at, members, samples)
        members.sign(_manifest_head(invoice), proof_key(as_of=as_of))
        members.write_to(out)


def _manifest_head(invoice: Invoice) -> dict[str, Any]:
    return {
        "version": archive.VERSION,
        "invoice": invoice.reference,
        "tenant": str(invoice.tenant_id),
    }


def _write_members(
    invoice: Invoice, as_of: datetime, members: "_Members", samples: Period | None
) -> None:
    terms, kept = terms_of(invoice)
    contracts = list(_contracts(terms))
    periods = [
        usage for each in contracts for usage in billable_periods(invoice.customer, each.period)
    ]
    known = Application.objects.filter(pk__in={each.application_id for each in periods})
    names = dict(known.values_list("pk", "name"))
    environments = dict(known.values_list("pk", "environment__name"))
    # An invoice keeps the names that it was issued under.
    billed_as = invoice.lines.exclude(application=None).values_list(
        "application_id", "application_name"
    )
    names.update((pk, name) for pk, name in billed_as if pk is not None)
    members.add("FORMAT", [archive.FORMAT])
    members.add_json("invoice.json", documents.invoice_document(invoice))
    members.add_json("terms.json", documents.terms_document(invoice, terms, kept=kept))
    billed = documents.billed_document(invoice, terms)
    if billed is not None:
        members.add_json("billed.json", billed)
    members.add_json(
        "assignments.json", documents.assignments_document(periods, names, environments)
    )
    behind = Behind(periods, as_of) if periods else None
    _write_usage(behind, members)
    if behind is not None:
        _write_samples(behind, members, samples, once=any(map(_bills_one_primary, contracts)))


def _contracts(terms: Mapping[str, Any]) -> Iterator[Contract]:
    """The document's own, and those of the periods that it restates."""
    for each in (terms, *terms["restated"]):
        if each["contract"] is not None:
            yield from_json(Contract, each["contract"])


def _bills_one_primary(contract: Contract) -> bool:
    every = (price.spec.reading for terms in contract.terms for price in terms.prices)
    return any(reading is not None and reading.primaries == "one" for reading in every)


@dataclass(slots=True)
class _Noted:
    """What is met on the way and has to be told as well."""

    profiles: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def rollups(self, rollups: Iterable[RollupRecord]) -> Iterator[RollupRecord]:
        for each in rollups:
            self.profiles.update(known for known in each.measured if known is not None)
            yield each

    def batches(self, batches: Iterable[BatchRecord]) -> Iterator[BatchRecord]:
        for each in batches:
            self.hosts.add(each.host)
            self.keys.add(each.key_id)
            yield each


def _write_usage(behind: Behind | None, members: "_Members") -> None:
    noted = _Noted()
    rollups = noted.rollups(evidence.rollups_behind(behind)) if behind else iter(())
    batches = noted.batches(evidence.batches_behind(behind)) if behind else iter(())
    digests = evidence.digests_behind(behind) if behind else iter(())
    members.add_records("usage.jsonl.gz", (each.to_json() for each in rollups))
    members.add_records("batches.jsonl.gz", (each.to_json() for each in batches))
    members.add_records("digests.jsonl.gz", (each.to_json() for each in digests))
    events = evidence.events_behind(behind) if behind else iter(())
    members.add_records("events.jsonl.gz", (each.to_json() for each in events))
    corrections = evidence.corrections_before(behind) if behind else []
    members.add_json("corrections.json", documents.corrections_document(corrections))
    instances = evidence.instances_of(behind) if behind else []
    members.add_json("instances.json", documents.instances_document(instances))
    members.add_records("profiles.jsonl.gz", evidence.profiles_with(noted.profiles))
    keys = evidence.keys_of(noted.hosts, noted.keys)
    members.add_json("keys.json", documents.keys_document(keys))


def _write_samples(
    behind: Behind, members: "_Members", samples: Period | None, *, once: bool
) -> None:
    """Those that are asked for, and those without which nobody can tell which of two primaries is
    billed."""
    contested = sorted(contested_hours(behind.periods)) if once else []
    if samples is None and not contested:
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

    def write_to(self, out: BinaryIO) -> None:
        """The archive. Raises BundleTooLarge before a byte of it is written."""
        members: list[Member] = []
        for name in sorted(self._files):
            size, crc32, _ = self._digests[name]
            members.append(Member(name, size, crc32, members[-1].end if members else 0))
        if members[-1].end >= archive.BYTES_BELOW - (1 << 16):
            raise BundleTooLarge("the bundle would have 4 GiB or more; leave samples out")
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
