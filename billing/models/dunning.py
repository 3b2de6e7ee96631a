"""What happens by itself when an invoice is not paid, and what has happened."""

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.invoices import Invoice
from tenants.models import Customer, TenantOwned

_NUMBERS_MAX = 12


class DunningAction(models.TextChoices):
    COLLECT = "collect", "Try to collect again"
    REMIND = "remind", "Remind by e-mail"
    FEE = "fee", "Charge a late fee"
    SUSPEND = "suspend", "Suspend the customer"


class DunningStep(TenantOwned):
    """A step of the tenant's schedule. Without any, nothing happens by itself."""

    action = models.CharField(max_length=8, choices=DunningAction.choices)
    number = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(_NUMBERS_MAX)],
        help_text="The first, second … of this action. Reminders grow firmer up to the third.",
    )
    days_after_due = models.PositiveSmallIntegerField(validators=[MaxValueValidator(365)])

    class Meta:
        ordering = ["days_after_due", "action", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "action", "number"], name="dunning_step_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} ({self.number}) after {self.days_after_due} days"


class DunningTaken(TenantOwned):
    """A step that was taken of an invoice, once. Rows are only added."""

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="dunning"
    )
    action = models.CharField(max_length=8, choices=DunningAction.choices)
    number = models.PositiveSmallIntegerField()
    taken_at = models.DateTimeField()
    outcome = models.CharField(max_length=200)

    class Meta:
        ordering = ["taken_at", "action", "number"]
        verbose_name = "dunning step taken"
        verbose_name_plural = "dunning"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "action", "number"], name="dunning_taken_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} ({self.number})"


class DunningHold(TenantOwned):
    """A time in which dunning of an invoice stands still: held by hand, or for a dispute."""

    class Cause(models.TextChoices):
        HAND = "hand", "By hand"
        DISPUTE = "dispute", "An open dispute"

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="holds"
    )
    cause = models.CharField(max_length=8, choices=Cause.choices)
    reason = models.CharField(max_length=300)
    author = models.CharField(max_length=254, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "cause"],
                condition=Q(ends_at__isnull=True),
                name="dunning_hold_one_open",
            ),
        ]

    def __str__(self) -> str:
        return self.reason


class Suspension(TenantOwned):
    """A customer is suspended for an unpaid invoice: the hosting layer stops what it runs for them,
    and nothing is deleted. It ends when the invoice is settled, or by hand."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="suspensions"
    )
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="suspensions"
    )
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice"],
                condition=Q(ends_at__isnull=True),
                name="suspension_one_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "customer"],
                condition=Q(ends_at__isnull=True),
                name="suspension_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, for {self.invoice}"
