"""Invoices looked through before they are issued, and issued many together."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from billing.models.invoices import Invoice
from tenants.models import Customer, TenantOwned


class InvoiceReview(TenantOwned):
    """What is unusual about a draft, as core/anomalies.py marked it."""

    class Severity(models.IntegerChoices):
        NOTHING = 0, "nothing unusual"
        NOTE = 1, "to note"
        LOOK = 2, "to look at"
        ALARM = 3, "alarming"

    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="reviews"
    )
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    marks = models.JSONField(help_text="[[kind, severity, words], …], the most severe first.")
    marked_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "invoice"], name="invoice_review_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "severity"], name="invoice_review_severity"),
        ]

    def __str__(self) -> str:
        return self.get_severity_display()


class Finalizing(TenantOwned):
    """Drafts that an operator has had finalized together; workers do one after the other."""

    author = models.EmailField(help_text="Who asked for it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "finalizing of drafts"
        verbose_name_plural = "finalizings of drafts"

    def __str__(self) -> str:
        return f"Finalizing of {self.created_at:%Y-%m-%d %H:%M} UTC"


class FinalizingStep(TenantOwned):
    """One draft of it: done with its invoice, in one transaction; a refusal says why."""

    finalizing = models.ForeignKey(
        Finalizing, on_delete=models.CASCADE, db_constraint=False, related_name="steps"
    )
    position = models.PositiveIntegerField()
    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    done_at = models.DateTimeField(null=True)
    refusal = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["finalizing", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "finalizing", "invoice"], name="finalizing_step_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "finalizing", "position"],
                condition=Q(done_at__isnull=True),
                name="finalizing_step_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}"


class AccruedRevenue(TenantOwned):
    """What a customer's running period has come to, as last counted."""

    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    currency = models.CharField(max_length=3, blank=True)
    day = models.DateField(help_text="The day of `today`, in the tenant's time zone.")
    today = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    month = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        help_text="Of the running period's days in the calendar month of `day`, up to it.",
    )
    failure = models.CharField(
        max_length=200, blank=True, help_text="Why it could not be counted; the amounts are 0."
    )
    counted_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "customer"], name="accrued_revenue_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "counted_at"], name="accrued_revenue_age"),
        ]

    def __str__(self) -> str:
        return f"{self.month} {self.currency}"
