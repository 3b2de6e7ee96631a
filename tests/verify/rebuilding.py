"""Bundles that are not as they were: bytes changed, or contents changed and signed anew by somebody
with a key of their own."""

import gzip
import json
import zlib
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing.core.proof import archive
from billing.core.proof.archive import Member
from billing.core.proof.records import canonical

_KEPT = Path(__file__).parent / "golden"
GOLDEN = _KEPT / "bundle.zip"
# Restates an invoice that a debit note had restated before.
CREDIT_NOTE = _KEPT / "credit-note.zip"
# Takes an invoice back that a credit note had restated.
TAKEN_BACK = _KEPT / "taken-back.zip"
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
Contents = dict[str, bytes]


def contents_of(bundle: bytes) -> Contents:
    with ZipFile(BytesIO(bundle)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def changed_json(name: str, change: Callable[[Any], None]) -> Callable[[Contents], None]:
    """Change a member that is one JSON document."""

    def apply(contents: Contents) -> None:
        document = json.loads(contents[name])
        change(document)
        contents[name] = canonical(document) + b"\n"

    return apply


def changed_lines(name: str, change: Callable[[list[Any]], None]) -> Callable[[Contents], None]:
    """Change the list of a compressed member's records."""

    def apply(contents: Contents) -> None:
        records = [json.loads(line) for line in gzip.decompress(contents[name]).splitlines()]
        change(records)
        lines = b"".join(canonical(record) + b"\n" for record in records)
        contents[name] = gzip.compress(lines, mtime=0)

    return apply


def signed_anew(bundle: bytes, *changes: Callable[[Contents], None]) -> bytes:
    """The bundle with other contents, as whoever runs the server could make it."""
    contents = contents_of(bundle)
    for change in changes:
        change(contents)
    manifest = json.loads(contents[archive.MANIFEST])
    own = (archive.MANIFEST, archive.SIGNATURE)
    manifest["proof_key"] = OTHER_KEY.public_key().public_bytes_raw().hex()
    manifest["members"] = {
        name: {"size": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in contents.items()
        if name not in own
    }
    contents[archive.MANIFEST] = canonical(manifest)
    contents[archive.SIGNATURE] = OTHER_KEY.sign(archive.SIGNED_PREFIX + contents[archive.MANIFEST])
    return archived(contents)


def archived(contents: Contents) -> bytes:
    members: list[Member] = []
    out = b""
    for name in sorted(contents):
        data = contents[name]
        member = Member(name, len(data), zlib.crc32(data), len(out))
        members.append(member)
        out += archive.local_header(member) + data
    return out + archive.ending(members)
