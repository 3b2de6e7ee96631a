"""Which bytes a bundle is made of: a zip file of stored members in the order of their names.

All that a zip file leaves open is fixed (no compression, no dates, no extra fields, no comments),
so that its bytes follow from its members alone and a reader can require every one of them. Large
members are compressed inside, as gzip files. Source: the ZIP file format specification (APPNOTE
6.3), 4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

VERSION: Final = 1
# The first member: what kind of file this is.
FORMAT_MEMBER: Final = "FORMAT"
FORMAT: Final = b"hostmeter-proof 1\n"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
MEMBERS: Final = (
    FORMAT_MEMBER,
    "assignments.json",
    "batches.jsonl.gz",
    "billed.json",
    "corrections.json",
    "digests.jsonl.gz",
    "events.jsonl.gz",
    "instances.json",
    "invoice.json",
    "keys.json",
    MANIFEST,
    SIGNATURE,
    "profiles.jsonl.gz",
    "samples.jsonl.gz",
    "terms.json",
    "usage.jsonl.gz",
)
OPTIONAL: Final = frozenset({"billed.json", "samples.jsonl.gz"})
# What the proof key signs is this and the manifest: no other use of the key can be taken for it.
SIGNED_PREFIX: Final = b"hostmeter-proof-manifest-1\n"

# Offsets have 32 bits; a bundle that needs more is not made.
BYTES_BELOW: Final = 2**32
_VERSION_NEEDED: Final = 20
# 1 January 1980, midnight: the earliest that the format can say.
_DATE, _TIME = 0x21, 0

_LOCAL: Final = Struct("<IHHHHHIIIHH")
_CENTRAL: Final = Struct("<IHHHHHHIIIHHHHHII")
_END: Final = Struct("<IHHHHIIH")
END_BYTES: Final = _END.size


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive; `offset` is where its local header begins."""

    name: str
    size: int
    crc32: int
    offset: int

    @property
    def data_offset(self) -> int:
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        return self.data_offset + self.size


def local_header(member: Member) -> bytes:
    name = member.name.encode("ascii")
    fixed = _LOCAL.pack(
        0x04034B50, _VERSION_NEEDED, 0, 0, _TIME, _DATE,
        member.crc32, member.size, member.size, len(name), 0,
    )  # fmt: skip
    return fixed + name


def ending(members: Sequence[Member]) -> bytes:
    """The central directory and the end record."""
    directory = b"".join(map(_central_header, members))
    start = members[-1].end if members else 0
    count = len(members)
    return directory + _END.pack(0x06054B50, 0, 0, count, count, len(directory), start, 0)


def _central_header(member: Member) -> bytes:
    name = member.name.encode("ascii")
    fixed = _CENTRAL.pack(
        0x02014B50, _VERSION_NEEDED, _VERSION_NEEDED, 0, 0, _TIME, _DATE,
        member.crc32, member.size, member.size, len(name), 0, 0, 0, 0, 0, member.offset,
    )  # fmt: skip
    return fixed + name


class NotAnArchive(ValueError):
    """The bytes are no zip file of stored members with a directory at its end."""


def directory_of(end_record: bytes) -> tuple[int, int]:
    """Where the central directory starts and how long it is. Raises NotAnArchive."""
    if len(end_record) != END_BYTES:
        raise NotAnArchive("it is too short")
    magic, _, _, _, _, size, start, _ = _END.unpack(end_record)
    if magic != 0x06054B50:
        raise NotAnArchive("it does not end as a zip file does")
    return start, size


def members_in(directory: bytes) -> list[Member]:
    """What a central directory lists. Whether every byte of the file is as it has to be is for the
    reader to see. Raises NotAnArchive."""
    members, position = [], 0
    while position < len(directory):
        fixed = directory[position : position + _CENTRAL.size]
        if len(fixed) < _CENTRAL.size:
            raise NotAnArchive("its directory is cut off")
        fields = _CENTRAL.unpack(fixed)
        crc32, size, length, offset = fields[7], fields[8], fields[10], fields[16]
        name = directory[position + _CENTRAL.size : position + _CENTRAL.size + length]
        if fields[0] != 0x02014B50 or len(name) != length:
            raise NotAnArchive("its directory is not readable")
        members.append(Member(name.decode("ascii", "replace"), size, crc32, offset))
        position += _CENTRAL.size + length
    return members
