"""Secrets that name their tenant, so that they can be looked up inside it and nowhere else.

A secret reads `<kind>_<tenant's 32 hex digits>_<43 random characters>`. The tenant part opens the
scope in which the hash is searched; it proves nothing by itself.
"""

import re
import secrets
from hashlib import sha256
from uuid import UUID

ENROLMENT_TOKEN = "hme"  # noqa: S105 - a prefix, not a secret
API_KEY = "hmk"
INVITATION = "hmi"

_SHAPE = re.compile(r"(hm[eki])_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def make_secret(kind: str, tenant_id: UUID) -> str:
    """A fresh secret with 256 random bits."""
    return f"{kind}_{tenant_id.hex}_{secrets.token_urlsafe(32)}"


def tenant_of(secret: str, kind: str) -> UUID | None:
    """The tenant that the secret names; None where it is not a secret of this kind."""
    match = _SHAPE.fullmatch(secret)
    return UUID(match[2]) if match and match[1] == kind else None


def shown_part(secret: str) -> str:
    """The first six of its random characters: enough to know it by, and not to use it."""
    return secret.split("_", 2)[2][:6]


def digest_of(secret: str) -> bytes:
    # The secret is 256 random bits: a fast hash is enough, there is nothing to guess.
    return sha256(secret.encode()).digest()
