"""With which key a tenant's proof bundles are signed."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from tenants.models import TenantOwned


class ProofKey(TenantOwned):
    """An Ed25519 key pair of the tenant's. The newest that can be opened signs; a public key stays
    for whoever holds a bundle of its time."""

    public_key = models.BinaryField(max_length=32, editable=False)
    sealed_key = models.BinaryField(
        editable=False, help_text="The private key, encrypted under the installation's secret."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "public_key"], name="proof_key_once"),
        ]

    def __str__(self) -> str:
        return bytes(self.public_key).hex()
