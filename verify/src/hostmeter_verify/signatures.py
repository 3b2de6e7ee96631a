"""Whether a batch was signed by its host: HTTP message signatures (RFC 9421) as a batch's record
keeps them."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from billing.core.proof.records import (
    BatchRecord,
    RecordNotReadable,
    identifier,
    instant,
    integer,
    text,
)
from hostmeter_verify.ed25519 import Signed
from hostmeter_verify.findings import Difference, require, require_equal

_SKEW: Final = timedelta(seconds=300)
# A web process knows a key for up to a minute after it was revoked.
_REVOCATION: Final = timedelta(seconds=60)
_REQUIRED: Final = ("@method", "@path", "content-digest")
_METHOD, _PATH = "POST", "/api/v1/batches"

_LABELLED_SIGNATURE: Final = re.compile(r"(?:^|,)[ \t]*hostmeter=:([A-Za-z0-9+/=]*):")
_LABELLED_INPUT: Final = re.compile(
    r"(?:^|,)[ \t]*hostmeter=(\([^()]*\)(?:;[^,;\"]*(?:\"[^\"]*\")?)*)"
)
_COMPONENT: Final = re.compile(r'"([^"]*)"((?:;[a-z]+(?:="[^"]*")?)*)')


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key, and from when to when it may sign."""

    host: str
    public_key: bytes
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, at: datetime) -> bool:
        ends = [each for each in (self.expires_at, self.revoked_at) if each is not None]
        return self.created_at <= at + _REVOCATION and all(at - _REVOCATION < end for end in ends)


def key_from(record: Any) -> tuple[str, HostKey]:
    """A key and its id from its record. Raises RecordNotReadable and ValueError."""
    ends = (record.get("expires_at"), record.get("revoked_at"))
    if not all(end is None or type(end) is int for end in ends):
        raise RecordNotReadable("the end of a key is an instant")
    expires_at, revoked_at = (None if end is None else instant(end) for end in ends)
    public_key = bytes.fromhex(text(record, "public_key"))
    host, created_at = identifier(record, "host"), instant(integer(record, "created_at"))
    return text(record, "key_id"), HostKey(host, public_key, created_at, expires_at, revoked_at)


class BaseNotKept(Exception):
    """More was signed than the record says: the signature cannot be checked from it."""


def signed_by_host(batch: BatchRecord, keys: Mapping[str, HostKey]) -> Signed:
    """What has to hold for the batch to be its host's. Raises Difference where the record does not
    agree with itself or the key was not the host's to use, and BaseNotKept."""
    parameters = _labelled(_LABELLED_INPUT, batch.signature_input, batch, "its Signature-Input")
    components = _components(parameters, batch)
    base = batch.signature_base or _usual_base(components, parameters, batch)
    _check_base(base, components, parameters, batch)
    key = _key_of(batch, parameters, keys)
    written = _labelled(_LABELLED_SIGNATURE, batch.signature, batch, "its Signature")
    try:
        signature = base64.b64decode(written, validate=True)
        return Signed(key.public_key, base.encode("ascii"), signature)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Difference(batch.name, "its signature", "base64 and ASCII", error) from error


def _labelled(pattern: re.Pattern[str], header: str, batch: BatchRecord, what: str) -> str:
    found = pattern.findall(header)
    require(len(found) == 1, batch.name, what, "one labelled hostmeter", header)
    label: str = found[0]
    return label.strip()


def _components(parameters: str, batch: BatchRecord) -> list[tuple[str, str]]:
    covered, _, _ = parameters[1:].partition(")")
    components = [(found[1], found[0]) for found in _COMPONENT.finditer(covered)]
    names = {name for name, _ in components}
    require(names.issuperset(_REQUIRED), batch.name, "what it covers", _REQUIRED, covered)
    return components


def _usual_base(components: list[tuple[str, str]], parameters: str, batch: BatchRecord) -> str:
    values = {"@method": _METHOD, "@path": _PATH, "content-digest": batch.content_digest}
    if any(whole != f'"{name}"' or name not in values for name, whole in components):
        raise BaseNotKept(f"{batch.name} covers more than was kept of it")
    lines = [f"{whole}: {values[name]}" for name, whole in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}'])


def _check_base(
    base: str, components: list[tuple[str, str]], parameters: str, batch: BatchRecord
) -> None:
    """What was signed is about this batch: its address, its digest, its own parameters."""
    *lines, last = base.split("\n")
    head, _, signed = last.partition(": ")
    require_equal(batch.name, "the end of what was signed", '"@signature-params"', head)
    require_equal(batch.name, "its parameters", _spaceless(parameters), _spaceless(signed))
    heads = [line.partition(": ")[0] for line in lines]
    require_equal(batch.name, "what it covers", [whole for _, whole in components], heads)
    for (name, whole), line in zip(components, lines, strict=True):
        value = line.partition(": ")[2]
        if name == "@method":
            require_equal(batch.name, "the method", _METHOD, value)
        elif name == "@path":
            require(value.endswith(_PATH), batch.name, "the path", _PATH, value)
        elif name == "content-digest":
            held = _spaceless(batch.content_digest)
            agrees = _spaceless(value) == held or (";key=" in whole and value in held)
            require(agrees, batch.name, "its Content-Digest", batch.content_digest, value)


def _spaceless(written: str) -> str:
    return re.sub(r"[ \t]", "", written)


def _key_of(batch: BatchRecord, parameters: str, keys: Mapping[str, HostKey]) -> HostKey:
    named = re.findall(r';keyid="([^"]*)"', parameters)
    require_equal(batch.name, "the key it names", [batch.key_id], named)
    created = re.findall(r";created=(\d{1,12})(?=;|$)", parameters)
    require(len(created) == 1, batch.name, "when it was signed", "one time", created)
    off = abs(batch.received_at - instant(int(created[0]) * 1_000_000))
    require(off <= _SKEW, batch.name, "when it was signed", "300 s from its arrival", off)
    key = keys.get(batch.key_id)
    if key is None:
        raise Difference(batch.name, "its key", "one of keys.json", batch.key_id)
    require_equal(batch.name, "the host of its key", batch.host, key.host)
    require(
        key.is_valid(batch.received_at), batch.name, f"its key {batch.key_id}",
        f"a valid one at {batch.received_at}", "one that was not valid then",
    )  # fmt: skip
    return key
