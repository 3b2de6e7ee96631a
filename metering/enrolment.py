"""A host enrols: with a single-use token it registers the public key that it will sign with."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import IntegrityError, transaction

from metering.models import Host, HostKey
from metering.telling import tell_enrolled
from metering.wire_errors import FieldError, OutOfContract, decoded_object
from metering.wire_values import Name, base64_bytes
from tenants.authorship import acting
from tenants.models import EnrolmentToken, Environment
from tenants.problems import Problem, unauthorized
from tenants.refusals import sentence
from tenants.scope import tenant_scope
from tenants.secrets import ENROLMENT_TOKEN, digest_of, tenant_of

BODY_BYTES_MAX = 16 * 1024

_FIELD_PRIME = 2**255 - 19
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826

_KINDS: dict[str, object] = {
    "token": Annotated[str, msgspec.Meta(min_length=1, max_length=200)],
    "name": Name,
    "public_key": Annotated[str, msgspec.Meta(max_length=100)],
}


@dataclass(frozen=True, slots=True)
class Application:
    """What a host asks with. `public_key` is Ed25519's, raw."""

    token: str
    name: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class EnrolledHost:
    """What a host is told: who it is and under which name it signs."""

    host_id: UUID
    key_id: str


def decode_application(body: bytes) -> Application:
    """Raises OutOfContract (422) for all that is wrong."""
    document, errors = decoded_object(body, _KINDS)
    public_key = decoded_key(document.get("public_key"))
    if public_key is None and not errors:
        errors = [FieldError(None, "public_key", "has to be 32 bytes of Ed25519, in base64")]
    if errors or public_key is None:
        raise OutOfContract(errors)
    return Application(document["token"], document["name"], public_key)


def decoded_key(value: object) -> bytes | None:
    """An Ed25519 public key in base64, raw; None for what is none, or one that anyone can sign
    for."""
    raw = base64_bytes(value)
    try:
        Ed25519PublicKey.from_public_bytes(raw or b"")
    except ValueError:
        return None
    return None if raw is None or _has_small_order(raw) else raw


def _has_small_order(public_key: bytes) -> bool:
    """Whether it is one of the curve's points of order 1 to 8 (RFC 8032, 5.1): anyone can sign for
    these, without a private key."""
    y = int.from_bytes(public_key, "little") % 2**255 % _FIELD_PRIME
    return y in {0, 1, _FIELD_PRIME - 1, _Y_OF_ORDER_8, _FIELD_PRIME - _Y_OF_ORDER_8}


class NoRoom(Exception):
    """An environment takes no further host: it has as many as it may, or is retired."""


def require_room(environment: Environment) -> None:
    """Call it with the environment locked. Raises NoRoom."""
    if environment.retired_at is not None:
        raise NoRoom(f"the environment {environment} is retired, so no host enrols in it")
    if environment.hosts_max is None:
        return
    there = Host.objects.filter(environment=environment, retired_at__isnull=True).count()
    if there >= environment.hosts_max:
        raise NoRoom(
            f"the environment {environment} has {there} hosts of at most {environment.hosts_max}; "
            "retire one first"
        )


def enrol_host(application: Application, *, as_of: datetime) -> EnrolledHost:
    """Spend the token and register the host with its key, or do neither.

    Raises Problem 401 for a token that is unknown, used, expired or revoked, and 409 for a key
    that is enrolled already and where the environment takes no further host.
    """
    tenant_id = tenant_of(application.token, ENROLMENT_TOKEN)
    if tenant_id is None:
        raise unauthorized("EnrolmentToken")
    with acting(f"host {application.name}"), tenant_scope(tenant_id):
        # The lock lets one of two hosts with the same token win; the other then finds it used.
        token = (
            EnrolmentToken.objects.select_for_update(of=("self",))
            .select_related("environment")
            .filter(digest=digest_of(application.token))
            .first()
        )
        if token is None or not token.is_usable(as_of):
            raise unauthorized("EnrolmentToken")
        _hold_room(token.environment_id)
        host = Host.objects.create(
            name=application.name,
            environment=token.environment,
            enrolled_at=as_of,
            enrolled_with=token,
        )
        key_id = register_key(host, tenant_id, application.public_key, as_of)
        token.used_at = as_of
        token.save(update_fields=["used_at"])
        tell_enrolled(host, as_of=as_of)
    return EnrolledHost(host.pk, key_id)


def _hold_room(environment_id: UUID) -> None:
    # Of two hosts that come at the same time one waits, and finds the place taken.
    environment = Environment.objects.select_for_update(no_key=True).get(pk=environment_id)
    try:
        require_room(environment)
    except NoRoom as full:
        raise Problem(
            HTTPStatus.CONFLICT,
            sentence(full),
            kind="environment-full",
            title="No room in the environment",
        ) from full


def register_key(
    host: Host,
    tenant_id: UUID,
    public_key: bytes,
    as_of: datetime,
    *,
    replaces: HostKey | None = None,
) -> str:
    """A host's new key's id. Raises Problem 409 for a key that is enrolled already."""
    # The key's name tells the tenant, inside which it is looked up when a request is signed.
    key_id = f"{tenant_id.hex}.{secrets.token_urlsafe(16)}"
    try:
        with transaction.atomic():
            HostKey.objects.create(
                host=host,
                key_id=key_id,
                public_key=public_key,
                created_at=as_of,
                replaces=replaces,
            )
    except IntegrityError as error:
        raise Problem(
            HTTPStatus.CONFLICT,
            "A host has enrolled with this key already; make a new key.",
            kind="key-already-enrolled",
            title="Key already enrolled",
        ) from error
    return key_id
