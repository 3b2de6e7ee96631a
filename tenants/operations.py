"""What issues a tenant's credentials; people come by tenants.invitations."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from tenants.models import ApiKey, Customer, EnrolmentToken, Environment, IdempotencyRecord
from tenants.scope import current_tenant_id
from tenants.scopes import CUSTOMER_SCOPES, SCOPES
from tenants.secrets import API_KEY, ENROLMENT_TOKEN, digest_of, make_secret, shown_part

ENROLMENT_TOKEN_LIFETIME = timedelta(hours=1)
KEY_OVERLAP = timedelta(days=1)
IDEMPOTENCY_KEPT_FOR = timedelta(hours=48)


class UnknownScope(Exception):
    """A key was asked for with a scope that does not exist, or with none."""


class KeyNotInUse(Exception):
    """A key was to be replaced that nobody can use any more."""


class ScopeNotForCustomer(Exception):
    """A customer's own key was to do more than read."""


def issue_enrolment_token(environment: Environment, *, as_of: datetime) -> str:
    """A fresh single-use token for a host of `environment`; it is shown once and stored hashed."""
    return issued_enrolment_token(environment, as_of=as_of)[1]


def issued_enrolment_token(
    environment: Environment, *, as_of: datetime
) -> tuple[EnrolmentToken, str]:
    """As issue_enrolment_token, with what is stored of it, by which its use can be watched."""
    secret = make_secret(ENROLMENT_TOKEN, current_tenant_id())
    token = EnrolmentToken.objects.create(
        environment=environment,
        digest=digest_of(secret),
        created_at=as_of,
        expires_at=as_of + ENROLMENT_TOKEN_LIFETIME,
    )
    return token, secret


def issue_api_key(
    name: str,
    scopes: Collection[str],
    *,
    customer: Customer | None = None,
    expires_at: datetime | None = None,
    as_of: datetime,
) -> str:
    """A fresh key for a program; it is shown once and stored hashed.

    Raises UnknownScope, and ScopeNotForCustomer for what a customer's own key may not do.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise UnknownScope(
            f"no scope {', '.join(unknown) or 'at all'}; there are: {', '.join(SCOPES)}"
        )
    beyond = [scope for scope in wanted if scope not in CUSTOMER_SCOPES]
    if customer is not None and beyond:
        raise ScopeNotForCustomer(
            f"a customer's own key cannot have {', '.join(beyond)}; it may have: "
            f"{', '.join(CUSTOMER_SCOPES)}"
        )
    secret = make_secret(API_KEY, current_tenant_id())
    ApiKey.objects.create(
        name=name,
        digest=digest_of(secret),
        prefix=shown_part(secret),
        scopes=wanted,
        customer=customer,
        created_at=as_of,
        expires_at=expires_at,
    )
    return secret


@transaction.atomic
def rotate_api_key(key: ApiKey, *, as_of: datetime) -> str:
    """A fresh key that may do the same, for the same customer and as long; the former one holds
    for KEY_OVERLAP more, so that the program can be given the new one meanwhile. Raises
    KeyNotInUse."""
    held = ApiKey.objects.select_for_update().get(pk=key.pk)
    if not held.is_usable(as_of):
        raise KeyNotInUse(f"the key {held} is revoked or expired already; issue a new one")
    secret = issue_api_key(
        held.name, held.scopes, customer=held.customer, expires_at=held.expires_at, as_of=as_of
    )
    held.expires_at = min(held.expires_at or as_of + KEY_OVERLAP, as_of + KEY_OVERLAP)
    held.save(update_fields=["expires_at"])
    return secret


def prune_idempotency_records(*, as_of: datetime) -> int:
    """Forget answers that are older than anybody repeats a request for; how many."""
    old = IdempotencyRecord.objects.filter(created_at__lt=as_of - IDEMPOTENCY_KEPT_FOR)
    return old.delete()[0]
