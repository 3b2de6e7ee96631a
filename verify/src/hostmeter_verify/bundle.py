"""A bundle on disk: its bytes, its manifest and that one's signature, and its members.

Nothing of a member is looked at before its SHA-256 is the manifest's and the manifest's signature
holds; from then on what is read is bounded all the same, because anybody can sign a bundle with a
key of their own.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO, Final

from billing.core.proof import archive
from billing.core.proof.archive import Member
from billing.core.proof.records import canonical
from hostmeter_verify.ed25519 import Signed, is_valid
from hostmeter_verify.findings import Difference, NotABundle, require, require_equal

_CHUNK_BYTES: Final = 1 << 16
_JSON_BYTES_MAX: Final = 64 << 20
# Each takes up to some 200 bytes of memory, however few it has in the file.
_JSON_VALUES_MAX: Final = 3_000_000
_LINE_BYTES_MAX: Final = 1 << 20
_INFLATED_BYTES_MAX: Final = 1 << 36
_KEY_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle whose bytes are those that its signed manifest says."""

    file: BinaryIO
    members: Mapping[str, Member]
    manifest: Mapping[str, Any]
    proof_key: bytes

    def json(self, name: str) -> Any:
        """A member's JSON. Raises Difference for what is none, or too much."""
        member = self.members[name]
        require(member.size <= _JSON_BYTES_MAX, name, "its size", "64 MiB at most", member.size)
        written = _read(self.file, member.data_offset, member.size)
        require(written.endswith(b"\n"), name, "its end", "a line feed", written[-1:])
        return parsed(written[:-1], name)

    def lines(self, name: str) -> Iterator[bytes]:
        """A compressed member's lines, one at a time. Raises Difference."""
        member = self.members[name]
        yield from _lines(name, _inflated(name, self._chunks(member)))

    def records(self, name: str) -> Iterator[Any]:
        """The JSON of each line of a compressed member. Raises Difference."""
        for number, line in enumerate(self.lines(name), start=1):
            yield parsed(line, f"{name}, line {number}")

    def _chunks(self, member: Member) -> Iterator[bytes]:
        self.file.seek(member.data_offset)
        left = member.size
        while left:
            chunk = self.file.read(min(left, _CHUNK_BYTES))
            left -= len(chunk)
            yield chunk


@contextmanager
def open_bundle(path: str, *, pinned: bytes | None) -> Iterator[Bundle]:
    """The bundle, once every byte of it is accounted for; `pinned` is the only key that may have
    signed it. Raises NotABundle and Difference."""
    try:
        file = open(path, "rb")  # noqa: SIM115  errors in the block below are not about opening
    except OSError as error:
        raise NotABundle(f"{error.strerror or error}") from error
    with file:
        size = _required_size(file)
        members = _checked_layout(file, size)
        manifest, key = _checked_manifest(file, members, pinned)
        _check_contents(file, members, manifest)
        yield Bundle(file, members, manifest, key)


def _required_size(file: BinaryIO) -> int:
    """The size of what begins as a bundle does. Raises NotABundle."""
    try:
        size = os.fstat(file.fileno()).st_size
        start = file.read(512)
    except OSError as error:
        raise NotABundle(f"{error.strerror or error}") from error
    if not start.startswith(b"PK\x03\x04") or start[30:36] != archive.FORMAT_MEMBER.encode():
        raise NotABundle(
            "it is no proof bundle; give the .zip file that the invoice's page offers as its proof"
        )
    if size >= archive.BYTES_BELOW:
        raise NotABundle("it is larger than a proof bundle can be")
    if archive.FORMAT not in start:
        raise NotABundle(
            f"its format is not {archive.FORMAT.decode().strip()!r}, which this command reads; "
            "download the newest command"
        )
    return size


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _checked_layout(file: BinaryIO, size: int) -> dict[str, Member]:
    """Every byte between the members is what the members' names and sizes make it."""
    where = "the zip file"
    try:
        start, length = archive.directory_of(
            _read(file, max(size - archive.END_BYTES, 0), archive.END_BYTES)
        )
        require(length <= 4_096, where, "its directory's size", "4096 at most", length)
        members = archive.members_in(_read(file, start, length))
    except archive.NotAnArchive as error:
        raise Difference(where, "its end", "a zip file's directory", error) from error
    names = [member.name for member in members]
    optional = archive.OPTIONAL.difference(names)
    wanted = [name for name in archive.MEMBERS if name not in optional]
    require_equal(where, "its members", wanted, names)
    position = 0
    for member in members:
        header = archive.local_header(member)
        require_equal(where, f"where {member.name} begins", position, member.offset)
        require_equal(
            where, f"the header of {member.name}", header, _read(file, position, len(header))
        )
        position = member.end
        require(position < size, where, f"the size of {member.name}", size, position)
    ending = archive.ending(members)
    require_equal(where, "its size", position + len(ending), size)
    require_equal(where, "its directory", ending, _read(file, position, len(ending)))
    return {member.name: member for member in members}


def _checked_manifest(
    file: BinaryIO, members: Mapping[str, Member], pinned: bytes | None
) -> tuple[Mapping[str, Any], bytes]:
    own = members[archive.MANIFEST]
    require(own.size <= _JSON_BYTES_MAX, "the manifest", "its size", "64 MiB at most", own.size)
    written = _read(file, own.data_offset, own.size)
    signature = members[archive.SIGNATURE]
    require_equal("the manifest's signature", "its size", 64, signature.size)
    manifest = parsed(written, archive.MANIFEST)
    key = _key(manifest)
    if pinned is not None:
        require_equal("the key that signed it", "the manifest", pinned.hex(), key.hex())
    signed = Signed(key, archive.SIGNED_PREFIX + written, _read(file, signature.data_offset, 64))
    require(is_valid(signed), "the manifest", "its signature", f"one by {key.hex()}", "another")
    require_equal("the manifest", "its version", archive.VERSION, manifest.get("version"))
    return manifest, key


def _key(manifest: Any) -> bytes:
    written = manifest.get("proof_key") if isinstance(manifest, dict) else None
    if not isinstance(written, str) or len(written) != _KEY_DIGITS:
        raise Difference("the manifest", "proof_key", "64 hexadecimal digits", written)
    try:
        return bytes.fromhex(written)
    except ValueError as error:
        raise Difference("the manifest", "proof_key", "hexadecimal digits", written) from error


def _check_contents(
    file: BinaryIO, members: Mapping[str, Member], manifest: Mapping[str, Any]
) -> None:
    own = {archive.MANIFEST, archive.SIGNATURE}
    stated = manifest.get("members")
    if not isinstance(stated, dict):
        raise Difference("the manifest", "members", "an object", type(stated).__name__)
    require_equal("the manifest", "members", sorted(members.keys() - own), sorted(stated))
    for name, member in members.items():
        digest, crc32 = sha256(), 0
        file.seek(member.data_offset)
        left = member.size
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise Difference(name, "its bytes", member.size, member.size - left)
            left -= len(chunk)
            digest.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
        require_equal(name, "its CRC-32", crc32, member.crc32)
        if name not in own:
            found = {"sha256": digest.hexdigest(), "size": member.size}
            require_equal(name, "its digest in the manifest", found, stated[name])


def _inflated(name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    total = 0
    for chunk in chunks:
        require(not stream.eof, name, "after its gzip stream", "nothing", "more bytes")
        left = chunk
        while left:
            try:
                piece = stream.decompress(left, _CHUNK_BYTES)
            except zlib.error as error:
                raise Difference(name, "its compression", "gzip", error) from error
            total += len(piece)
            require(
                total <= _INFLATED_BYTES_MAX, name, "its inflated size", "64 GiB at most", total
            )
            left = stream.unconsumed_tail
            yield piece
    require(stream.eof and not stream.unused_data, name, "its gzip stream", "one, whole", "another")


def _lines(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        require(len(rest) <= _LINE_BYTES_MAX, name, "a line's length", "1 MiB at most", len(rest))
    require_equal(name, "after its last line feed", b"", rest)


def parsed(written: bytes, place: str) -> Any:
    """JSON in the one way in which the format writes it, with every way in which it can fail told
    as one. Raises Difference."""
    values = sum(map(written.count, (b",", b"[", b"{")))
    require(values <= _JSON_VALUES_MAX, place, "its values", f"{_JSON_VALUES_MAX} at most", values)
    try:
        value = json.loads(written.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float)
        is_canonical = canonical(value) == written
    except (ValueError, RecursionError) as error:
        raise Difference(place, "its text", "JSON as the format has it", error) from error
    require(is_canonical, place, "its text", "JSON as the format has it", "another way to write it")
    return value


def _no_float(written: str) -> None:
    raise ValueError(f"{written[:40]} is no integer")
