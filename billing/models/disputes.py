"""What customers contest of their invoices, and what was said about it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from billing.core.disputes import PENDING
from billing.models.credit import CreditGrant
from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from billing.models.invoices import Invoice, InvoiceLine
from tenants.models import TenantOwned

WORDS_MAX = 4_000


class Dispute(TenantOwned):
    """A customer's objection to one line of an issued invoice. core/disputes.py says which state
    follows which; a trigger holds it, and keeps the rest. A line has one pending at a time."""

    class Reason(models.TextChoices):
        QUANTITY = "quantity", "The usage is not what we used"
        PRICE = "price", "The price is not what we agreed on"
        TWICE = "twice", "It is charged twice"
        NOT_OURS = "not_ours", "The application is not ours"
        SERVICE = "service", "The service did not work in that time"
        OTHER = "other", "Something else"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        ANSWERED = "answered", "Answered"
        RESOLVED = "resolved", "Resolved"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Outcome(models.TextChoices):
        UPHELD = "upheld", "Upheld"
        UPHELD_IN_PART = "upheld_in_part", "Upheld in part"
        REJECTED = "rejected", "Rejected"

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="disputes"
    )
    line = models.ForeignKey(
        InvoiceLine, on_delete=models.PROTECT, db_constraint=False, related_name="disputes"
    )
    reason = models.CharField(max_length=10, choices=Reason.choices)
    amount = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        help_text="What is contested: the line with its tax.",
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    opened_by = models.CharField(max_length=254, help_text="Who contests it, as they signed in.")
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="When something was last said or decided.")
    outcome = models.CharField(max_length=14, choices=Outcome.choices, blank=True)
    upheld = models.DecimalField(
        "upheld amount",
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        null=True,
        help_text="What of the contested amount the customer is right about, with tax.",
    )
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=254, blank=True)
    note = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="settles",
        help_text="The note on the invoice that an upheld dispute led to.",
    )
    grant = models.ForeignKey(
        CreditGrant,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="settles",
        help_text="The credit that an upheld dispute led to.",
    )

    class Meta:
        ordering = ["-opened_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "line"],
                condition=Q(status__in=sorted(PENDING)),
                name="dispute_once_pending",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", upheld__isnull=False, ended_at__isnull=False)
                & ~Q(outcome="")
                | ~Q(status="resolved") & Q(outcome="", upheld__isnull=True),
                name="dispute_resolved_with_outcome",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "invoice"], name="dispute_invoice"),
            models.Index(fields=["tenant", "status", "opened_at"], name="dispute_status"),
        ]

    def __str__(self) -> str:
        return f"Dispute of {self.line.label} on {self.invoice}"

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING


class DisputeMessage(TenantOwned):
    """What one side said in a dispute, in plain text. A trigger refuses to change or delete
    it."""

    class Side(models.TextChoices):
        CUSTOMER = "customer", "Customer"
        OPERATOR = "operator", "Operator"

    dispute = models.ForeignKey(
        Dispute, on_delete=models.PROTECT, db_constraint=False, related_name="messages"
    )
    side = models.CharField(max_length=8, choices=Side.choices)
    author = models.CharField(max_length=254)
    words = models.TextField(max_length=WORDS_MAX)
    written_at = models.DateTimeField()

    class Meta:
        ordering = ["written_at", "id"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "dispute", "written_at"], name="dispute_thread"),
        ]

    def __str__(self) -> str:
        return self.words[:80]
