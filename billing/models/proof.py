"""With which key a tenant's proof bundles are signed, and by what issued documents were rated."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from billing.models.invoices import Invoice
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


class InvoiceTerms(TenantOwned):
    """By what an issued document was rated, as it was on its day. Written before the document gets
    its number; a trigger keeps it from then on. billing.queries.frozen says what `body` holds."""

    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="terms"
    )
    body = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "invoice"], name="invoice_terms_once"),
        ]

    def __str__(self) -> str:
        return str(self.invoice)
