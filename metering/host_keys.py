"""Key rotation: the key that a host has asks for the next, and the next confirms itself by use."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import transaction
from hostmeter_agent.wire_control import KEY_OVERLAP_SECONDS, proof_message

from metering.enrolment import decoded_key, register_key
from metering.known_hosts import KnownHost
from metering.models import Host, HostKey
from metering.wire_errors import FieldError, OutOfContract, decoded_object
from metering.wire_values import base64_bytes
from tenants.authorship import acting
from tenants.problems import Problem, unauthorized
from tenants.scope import tenant_scope

BODY_BYTES_MAX = 4 * 1024
KEY_OVERLAP = timedelta(seconds=KEY_OVERLAP_SECONDS)
_KINDS: dict[str, object] = {
    "public_key": Annotated[str, msgspec.Meta(max_length=100)],
    "proof": Annotated[str, msgspec.Meta(max_length=200)],
}


@dataclass(frozen=True, slots=True)
class NextKey:
    """What a host asks with: a public key, raw, and what that key signed to prove itself."""

    public_key: bytes
    public_key_text: str
    proof: bytes


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """Under which name the host signs with its next key; `created` unless it was there before."""

    key_id: str
    created: bool


def decode_next_key(body: bytes) -> NextKey:
    """Raises OutOfContract (422) for all that is wrong but the proof itself."""
    document, errors = decoded_object(body, _KINDS)
    public_key = decoded_key(document.get("public_key"))
    if not errors and public_key is None:
        errors.append(FieldError(None, "public_key", "has to be 32 bytes of Ed25519, in base64"))
    proof = base64_bytes(document.get("proof"))
    if not errors and proof is None:
        errors.append(FieldError(None, "proof", "has to be a signature, in base64"))
    if errors or public_key is None or proof is None:
        raise OutOfContract(errors)
    return NextKey(public_key, document["public_key"], proof)


def register_next_key(
    host: KnownHost, key_id: str, next_key: NextKey, *, as_of: datetime
) -> RegisteredKey:
    """Register the key that replaces `key_id`; the same again finds it registered.

    One that was asked for before and never used is revoked: the host has lost it. Raises
    OutOfContract for a proof that does not hold, Problem 409 for a key that is not new or where
    `key_id` was replaced already, and 401 where it was revoked meanwhile.
    """
    _check_proof(next_key, proof_message(str(host.host_id), key_id, next_key.public_key_text))
    with acting("its host"), tenant_scope(host.tenant_id):
        lock_hosts([host.host_id])
        signing = HostKey.objects.select_for_update().filter(key_id=key_id).first()
        if signing is None or not signing.is_valid(as_of):
            raise unauthorized("Signature")
        known = HostKey.objects.filter(public_key=next_key.public_key).first()
        if known is not None:
            return RegisteredKey(_same_again(known, signing, as_of).key_id, created=False)
        if signing.expires_at is not None:
            raise _superseded()
        _revoke_unused(signing, as_of)
        registered = register_key(
            Host(pk=host.host_id), host.tenant_id, next_key.public_key, as_of, replaces=signing
        )
    return RegisteredKey(registered, created=True)


def _check_proof(next_key: NextKey, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(next_key.public_key).verify(next_key.proof, message)
    except InvalidSignature as error:
        raise OutOfContract(
            [FieldError(None, "proof", "is not the new key's signature of this rotation")]
        ) from error


def _same_again(known: HostKey, signing: HostKey, as_of: datetime) -> HostKey:
    if known.replaces_id != signing.pk or not known.is_valid(as_of):
        raise Problem(
            HTTPStatus.CONFLICT,
            "This key is, or was, in use; make a new key.",
            kind="key-already-enrolled",
            title="Key already enrolled",
        )
    return known


def _superseded() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "Another key has replaced this one already; sign with that.",
        kind="key-superseded",
        title="Key superseded",
    )


def _revoke_unused(signing: HostKey, as_of: datetime) -> None:
    HostKey.objects.filter(
        replaces=signing, confirmed_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=as_of)


def confirm_key(host: KnownHost, key_id: str, *, as_of: datetime) -> None:
    """A key that replaces another was used: from now on the host's older keys have a day left."""
    with acting("its host"), tenant_scope(host.tenant_id), transaction.atomic():
        lock_hosts([host.host_id])
        key = HostKey.objects.select_for_update().get(key_id=key_id)
        if not key.awaits_use:
            return
        key.confirmed_at = as_of
        key.save(update_fields=["confirmed_at"])
        HostKey.objects.filter(
            host_id=host.host_id,
            revoked_at__isnull=True,
            expires_at__isnull=True,
            created_at__lt=key.created_at,
        ).update(expires_at=as_of + KEY_OVERLAP)


def lock_hosts(hosts: Collection[UUID]) -> None:
    """Until the transaction ends nobody else adds, confirms or revokes keys of these hosts. Locks
    on the keys alone would not do: whoever waits for one does not see the key added meanwhile."""
    list(Host.objects.select_for_update().filter(pk__in=hosts).order_by("pk").values_list("pk"))


@transaction.atomic
def revoke_keys(hosts: Collection[UUID], *, as_of: datetime) -> int:
    """Revoke every key of some hosts, one that is being registered now included. How many."""
    lock_hosts(hosts)
    valid = HostKey.objects.filter(host__in=hosts, revoked_at__isnull=True)
    return valid.update(revoked_at=as_of)
