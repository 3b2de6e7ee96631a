"""Money that customers paid."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from billing.models.invoices import Invoice
from tenants.models import TenantOwned


class Payment(TenantOwned):
    """Money received for an invoice, in the invoice's currency. It never changes.

    One reference is one payment of an invoice: recorded twice, it is counted once.
    """

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="payments"
    )
    amount = models.DecimalField(
        max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS, help_text="All that was received."
    )
    to_credit = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        default=0,
        help_text="What of it was more than was open, and is the customer's credit.",
    )
    received_on = models.DateField()
    reference = models.CharField(
        max_length=120, help_text="The bank's or processor's name for it; no other has it."
    )
    recorded_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["received_on", "recorded_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "invoice", "reference"], name="payment_once"),
            models.CheckConstraint(
                condition=Q(amount__gt=0, to_credit__gte=0, to_credit__lte=F("amount")),
                name="payment_amounts",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def applied(self) -> Decimal:
        """What of it the invoice was paid with."""
        return self.amount - self.to_credit
