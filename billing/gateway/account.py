"""Which account at Stripe a tenant's money goes to."""

from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from billing.fake_stripe import DEMO_KEY, DEMO_WEBHOOK_SECRET
from billing.models import ProcessorAccount
from tenants.sealing import seal, unseal

_PURPOSE: Final = "Stripe secret"


class NoAccount(Exception):
    """Neither the tenant nor the installation has an account at Stripe."""


@dataclass(frozen=True, slots=True)
class Account:
    """`base` is where the processor answers; empty for Stripe itself."""

    secret_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    base: str = ""


def account_of_tenant() -> Account:
    """The tenant's own, else the installation's, else the fake's where one runs. Raises NoAccount,
    and SealBroken where SECRET_KEY has changed."""
    own = ProcessorAccount.objects.first()
    if own is not None:
        secret = own.sealed_webhook_secret
        return Account(
            unseal(own.sealed_secret_key, _PURPOSE),
            unseal(secret, _PURPOSE) if secret else "",
            settings.STRIPE_API_BASE,
        )
    if settings.STRIPE_SECRET_KEY:
        return Account(
            settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_API_BASE
        )
    if is_fake():
        return Account(DEMO_KEY, DEMO_WEBHOOK_SECRET, settings.STRIPE_API_BASE)
    raise NoAccount(
        "payments are not set up: enter the Stripe account in the admin, or set STRIPE_SECRET_KEY"
    )


def is_fake() -> bool:
    """Whether payments go to the fake, which moves no money."""
    return bool(settings.STRIPE_API_BASE) and not settings.STRIPE_SECRET_KEY


def sealed(secret: str) -> str:
    """A secret as a tenant's account keeps it."""
    return seal(secret, _PURPOSE) if secret else ""
