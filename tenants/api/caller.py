"""Who calls: a program by its key, and what the key may do and see."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.db.models import F, Q
from django.http import HttpRequest

from tenants.models import ApiKey
from tenants.problems import Problem, unauthorized
from tenants.scope import tenant_scope
from tenants.secrets import API_KEY, digest_of, tenant_of

_USE_NOTED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid key. With a customer it sees that customer's data alone."""

    tenant_id: UUID
    key_id: UUID
    scopes: frozenset[str]
    customer_id: UUID | None
    name: str

    def require(self, scope: str) -> None:
        """Raises Problem 403, which names the scope that is missing."""
        if scope not in self.scopes:
            raise Problem(HTTPStatus.FORBIDDEN, f"The key lacks the scope {scope}.", scope=scope)

    def signed(self, author: str) -> str:
        """Whom a program names as an author, with the key that said so."""
        return f"{author}, by key {self.key_id}"

    @property
    def in_words(self) -> str:
        """For the history of what it changes."""
        return f"API key {self.name}"

    def own(self, customer: str) -> Q:
        """The condition that rows, whose customer is found by the path `customer`, are seen."""
        return Q() if self.customer_id is None else Q(**{customer: self.customer_id})


class ApiRequest(HttpRequest):
    """A request whose key has been checked; it runs in the key's tenant."""

    caller: Caller
    as_of: datetime


def authenticated(request: HttpRequest, *, as_of: datetime) -> Caller:
    """Raises Problem 401: one answer for a key that is missing, unknown, revoked or expired."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    tenant_id = tenant_of(secret.strip(), API_KEY) if scheme.lower() == "bearer" else None
    if tenant_id is None:
        raise unauthorized("Bearer")
    with tenant_scope(tenant_id):
        key = ApiKey.objects.filter(digest=digest_of(secret.strip())).first()
        if key is None or not key.is_usable(as_of):
            raise unauthorized("Bearer")
        _note_use(key, request.META.get("REMOTE_ADDR") or None, as_of)
    return Caller(tenant_id, key.pk, frozenset(key.scopes), key.customer_id, key.name)


def _note_use(key: ApiKey, address: str | None, as_of: datetime) -> None:
    """At most once a minute: a busy key's row would be written, and waited for, all the time."""
    before = as_of - _USE_NOTED_EVERY
    if key.last_used_at is None or key.last_used_at <= before:
        noted = Q(last_used_at__isnull=True) | Q(last_used_at__lte=before)
        ApiKey.objects.filter(noted, pk=key.pk).update(
            last_used_at=as_of, last_used_from=address, minutes_used=F("minutes_used") + 1
        )
