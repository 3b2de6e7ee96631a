"""The tenant's proof keys. A private key is stored encrypted under the installation's SECRET_KEY;
it is in the clear in the memory of the process that signs, and nowhere else."""

import os
from datetime import datetime
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction

from billing.models import ProofKey
from tenants.models import Tenant
from tenants.scope import current_tenant_id

_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"hostmeter: a tenant's proof key, sealed"


def proof_key(*, as_of: datetime) -> Ed25519PrivateKey:
    """What the tenant signs with; made on first use, and anew where the installation's secret has
    changed and none of its keys can be opened."""
    for stored in ProofKey.objects.all():
        key = _opened(stored)
        if key is not None:
            return key
    with transaction.atomic():
        # Two that ask at once for the first key come to the same one.
        Tenant.objects.select_for_update().get(pk=current_tenant_id())
        known = (_opened(stored) for stored in ProofKey.objects.all())
        return next((key for key in known if key is not None), None) or _made(as_of)


def public_keys() -> list[tuple[bytes, datetime]]:
    """The tenant's public keys, the newest first, and since when each signs."""
    rows = ProofKey.objects.values_list("public_key", "created_at")
    return [(bytes(public_key), created_at) for public_key, created_at in rows]


def fingerprint(public_key: bytes) -> str:
    """A key as people compare it; the verifier prints the same."""
    digest = sha256(public_key).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 64, 4))


def _made(as_of: datetime) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    public_key, nonce = key.public_key().public_bytes_raw(), os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_sealing_key()).encrypt(nonce, key.private_bytes_raw(), _bound_to(public_key))
    ProofKey.objects.create(public_key=public_key, sealed_key=nonce + sealed, created_at=as_of)
    return key


def _opened(stored: ProofKey) -> Ed25519PrivateKey | None:
    sealed, bound_to = bytes(stored.sealed_key), _bound_to(bytes(stored.public_key))
    try:
        raw = AESGCM(_sealing_key()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except InvalidTag:
        return None
    return Ed25519PrivateKey.from_private_bytes(raw)


def _bound_to(public_key: bytes) -> bytes:
    """A sealed key opens in its own tenant's row and nowhere else."""
    return current_tenant_id().bytes + public_key


def _sealing_key() -> bytes:
    return HKDF(SHA256(), 32, None, _PURPOSE).derive(settings.SECRET_KEY.encode())
