"""What issues a tenant's credentials; people come by tenants.invitations."""

from datetime import datetime, timedelta

from tenants.models import ApiKey, EnrolmentToken, Environment
from tenants.scope import current_tenant_id
from tenants.secrets import API_KEY, ENROLMENT_TOKEN, digest_of, make_secret

ENROLMENT_TOKEN_LIFETIME = timedelta(hours=1)


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


def issue_api_key(name: str, *, as_of: datetime) -> str:
    """A fresh key for a program; it is shown once and stored hashed."""
    secret = make_secret(API_KEY, current_tenant_id())
    ApiKey.objects.create(name=name, digest=digest_of(secret), created_at=as_of)
    return secret
