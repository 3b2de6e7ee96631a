"""Where a tenant's people may sign in instead of with a password here."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from tenants.models import TenantOwned
from tenants.outward import URL_LENGTH_MAX


class SignInProvider(TenantOwned):
    """The tenant's OpenID Connect provider; at most one.

    It is believed in this tenant alone: a session that it begins shows no other (decision 0058).
    """

    name = models.CharField(
        max_length=60, help_text='What people know it by; the button says "Sign in with …".'
    )
    issuer = models.CharField(
        max_length=URL_LENGTH_MAX - 100,
        help_text="The provider's address, exactly as it calls itself: https://login.example.com",
    )
    client_id = models.CharField("client ID", max_length=200)
    sealed_secret = models.TextField(editable=False)
    proves_emails = models.BooleanField(
        "its e-mail addresses hold",
        default=False,
        help_text="Switch on where the provider does not say that an address is verified, as "
        "Microsoft Entra ID does not, and people cannot choose theirs.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "sign-in provider"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant"], name="sign_in_provider_is_one"),
        ]

    def __str__(self) -> str:
        return self.name
