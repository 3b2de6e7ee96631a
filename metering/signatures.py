"""Who sent a request: HTTP message signatures (RFC 9421) over Content-Digest (RFC 9530).

The signature is verified from the header alone, so a stranger's body is never read. What it has to
cover and how fresh it has to be is the wire contract's (hostmeter_agent.wire). Component values
come from http-message-signatures; the checks around them are ours, because the library refuses
what the contract and the RFC allow (further labels, parameters and digest algorithms).
"""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import http_sf
from cryptography.exceptions import InvalidSignature as _Forged
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hostmeter_agent.wire import (
    SIGNATURE_COMPONENTS,
    SIGNATURE_LABEL,
    SIGNATURE_SKEW_SECONDS_MAX,
)
from hostmeter_agent.wire_control import TIME_HEADER
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPSignatureComponentResolver,
)
from http_sf.compat import Item
from http_sf.innerlist import ser_innerlist
from http_sf.item import ser_item

KEY_ID_LENGTH_MAX: Final = 100
_HEADER_LENGTH_MAX: Final = 8_192
_COMPONENTS_MAX: Final = 50
_CLOCK_DIGITS_MAX: Final = 16

# Stands in for the key of an unknown host, so that asking for one takes as long as for a known one.
_NOBODYS_KEY: Final = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)

_Parameters = Mapping[str, Any]


class SignatureRejected(Exception):
    """The request is unsigned, or its signature does not hold. The reason is for tests and for
    nobody else: the answer never says it."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature may cover. `url` is absolute; header names are in lower case."""

    method: str
    url: str
    request_target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return self.request_target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified signature, as it is stored with the batch."""

    key_id: str
    signature_input: str
    signature: str
    content_digest: str
    signature_base: str
    sha256: bytes
    host_clock_ms: int
    """What the host's clock showed when it signed, milliseconds since the epoch."""

    def check_body(self, body: bytes) -> bytes:
        """The SHA-256 of the body as transferred; raises SignatureRejected when it is not the
        signed one."""
        digest = sha256(body).digest()
        if not hmac.compare_digest(digest, self.sha256):
            raise SignatureRejected("Content-Digest does not match the body")
        return digest

    def skew_ms(self, received_at: datetime) -> int:
        """How far the host's clock is ahead of ours, less the time that the request was on its
        way."""
        return self.host_clock_ms - int(received_at.timestamp() * 1_000)


def verify(
    request: SignedRequest,
    *,
    as_of: datetime,
    public_key_of: Callable[[str], Ed25519PublicKey | None],
) -> Proof:
    """Check the request's signature labelled `hostmeter`, all but the body's digest.

    Raises SignatureRejected.
    """
    components, parameters = _signature_input(_header(request, "signature-input"))
    signature = _byte_sequence(_header(request, "signature"), SIGNATURE_LABEL)
    _check_parameters(parameters, as_of)
    _check_coverage(components)
    digest = _byte_sequence(_header(request, "content-digest"), "sha-256")
    key_id: str = parameters["keyid"]
    key = public_key_of(key_id)
    try:
        bases = list(_signature_bases(request, components, parameters))
    except (HTTPMessageSignaturesException, ValueError, TypeError, KeyError) as error:
        raise SignatureRejected("a covered component cannot be resolved") from error
    valid = [base for base in bases if _is_valid(key or _NOBODYS_KEY, signature, base)]
    if key is None or not valid:
        raise SignatureRejected("wrong signature or unknown key")
    return Proof(
        key_id=key_id,
        signature_input=request.headers["signature-input"],
        signature=request.headers["signature"],
        content_digest=request.headers["content-digest"],
        signature_base=valid[0].decode("ascii"),
        sha256=digest,
        host_clock_ms=_host_clock_ms(request, components, parameters["created"]),
    )


def _host_clock_ms(
    request: SignedRequest, components: list[tuple[str, _Parameters]], created: int
) -> int:
    """From the signed header where there is one that agrees with `created`, which has whole
    seconds: their middle stands for those."""
    shown = request.headers.get(TIME_HEADER, "") if (TIME_HEADER, {}) in components else ""
    if shown.isascii() and shown.isdigit() and len(shown) <= _CLOCK_DIGITS_MAX:
        clock_ms = int(shown)
        if 0 <= clock_ms - created * 1_000 < 2_000:
            return clock_ms
    return created * 1_000 + 500


def _header(request: SignedRequest, name: str) -> str:
    value = request.headers.get(name, "")
    if not value or len(value) > _HEADER_LENGTH_MAX:
        raise SignatureRejected(f"no {name}, or a very long one")
    return value


def _dictionary(value: str) -> dict[str, Any]:
    duplicates: list[str] = []

    def note(key: str, context: str) -> None:
        if context == "dictionary":
            duplicates.append(key)

    try:
        parsed = http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=note)
    except (ValueError, TypeError) as error:
        raise SignatureRejected("not a structured field") from error
    if SIGNATURE_LABEL in duplicates or not isinstance(parsed, dict):
        raise SignatureRejected("the label stands there twice")
    return parsed


def _signature_input(value: str) -> tuple[list[tuple[str, _Parameters]], _Parameters]:
    members, parameters = _dictionary(value).get(SIGNATURE_LABEL, (None, {}))
    if not isinstance(members, list) or len(members) > _COMPONENTS_MAX:
        raise SignatureRejected("no list of components under the label")
    if not all(type(name) is str and name == name.lower() for name, _ in members):
        raise SignatureRejected("a component's name is not a string in lower case")
    identities = {(name, frozenset(params.items())) for name, params in members}
    if len(identities) != len(members):
        raise SignatureRejected("a component is covered twice")
    return members, parameters


def _byte_sequence(value: str, key: str) -> bytes:
    member = _dictionary(value).get(key, (None, {}))[0]
    if not isinstance(member, bytes):
        raise SignatureRejected(f"no byte sequence under {key}")
    return member


def _check_parameters(parameters: _Parameters, as_of: datetime) -> None:
    created, expires = parameters.get("created"), parameters.get("expires")
    now = as_of.timestamp()
    if type(created) is not int or abs(now - created) > SIGNATURE_SKEW_SECONDS_MAX:
        raise SignatureRejected("not created within the last minutes")
    if expires is not None and (type(expires) is not int or expires < now):
        raise SignatureRejected("expired")
    key_id = parameters.get("keyid")
    if type(key_id) is not str or not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise SignatureRejected("no keyid")
    algorithm = parameters.get("alg", "ed25519")
    if type(algorithm) is not str or algorithm != "ed25519":
        raise SignatureRejected("another algorithm")


def _check_coverage(components: list[tuple[str, _Parameters]]) -> None:
    whole = {name for name, params in components if _covers_all_that_counts(name, params)}
    if not whole.issuperset(SIGNATURE_COMPONENTS):
        raise SignatureRejected("does not cover enough")


def _covers_all_that_counts(name: str, params: _Parameters) -> bool:
    """Of Content-Digest only sha-256 is looked at, so covering that member is enough."""
    if name == "content-digest":
        return set(params) <= {"sf", "key"} and params.get("key", "sha-256") == "sha-256"
    return not params


def _signature_bases(
    request: SignedRequest, components: list[tuple[str, _Parameters]], parameters: _Parameters
) -> Iterator[bytes]:
    """The bytes that were signed (RFC 9421, 2.5).

    WSGI servers join repeated header fields with a bare comma where the RFC has comma and space,
    so both readings are tried where they differ; they mean the same.
    """
    yield _signature_base(request, components, parameters)
    spaced = {name: re.sub(r",(?! )", ", ", value) for name, value in request.headers.items()}
    if any(spaced.get(name) != request.headers.get(name) for name, _ in components):
        repeated = SignedRequest(request.method, request.url, request.request_target, spaced)
        yield _signature_base(repeated, components, parameters)


def _signature_base(
    request: SignedRequest, components: list[tuple[str, _Parameters]], parameters: _Parameters
) -> bytes:
    resolver: HTTPSignatureComponentResolver | None = None
    lines = []
    for name, params in components:
        if not params and name == "@method":
            value = request.method
        elif not params and name == "@path":
            value = request.path
        elif not params and name in request.headers:
            value = request.headers[name]
        else:
            resolver = resolver or HTTPSignatureComponentResolver(request)  # type: ignore[no-untyped-call]
            item = Item(name)
            item.params.update(params)
            value = resolver.resolve(item)
        lines.append(f"{ser_item((name, dict(params)))}: {value}")
    signed = ser_innerlist(
        ([(name, dict(params)) for name, params in components], dict(parameters))
    )
    lines.append(f'"@signature-params": {signed}')
    # A value can hold no line break: servers refuse it in a header and in a request target.
    return "\n".join(lines).encode("ascii")


def _is_valid(key: Ed25519PublicKey, signature: bytes, base: bytes) -> bool:
    try:
        key.verify(signature, base)
    except _Forged:
        return False
    return True
