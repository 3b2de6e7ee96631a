"""Who is billed by which plan."""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from billing.models.fields import AMOUNT_DECIMALS, CURRENCY
from billing.models.plans import Plan
from tenants.models import Customer, TenantOwned


class Subscription(TenantOwned):
    """A customer's plan from a moment on, billed every interval in the customer's time zone.

    A trigger keeps a customer's subscriptions from overlapping.
    """

    class Cycle(models.TextChoices):
        CALENDAR = "calendar", "by the calendar"
        ANNIVERSARY = "anniversary", "from the start"

    class Interval(models.TextChoices):
        WEEKLY = "weekly"
        MONTHLY = "monthly"
        QUARTERLY = "quarterly"
        HALF_YEARLY = "half_yearly", "Half-yearly"
        YEARLY = "yearly"

    class Proration(models.TextChoices):
        ELAPSED = "elapsed", "exact time"
        DAYS = "days", "whole local days"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="subscriptions"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, db_constraint=False)
    cycle = models.CharField(max_length=12, choices=Cycle.choices, default=Cycle.CALENDAR)
    interval = models.CharField(
        max_length=11,
        choices=Interval.choices,
        default=Interval.MONTHLY,
        help_text="How often an invoice is made. A recurring fee has an interval of its own.",
    )
    proration = models.CharField(max_length=7, choices=Proration.choices, default=Proration.ELAPSED)
    currency = models.CharField(
        max_length=3,
        blank=True,
        validators=[CURRENCY],
        help_text="Fixed when it begins; the plan has prices in it. Left empty, the plan's own.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    trial_ends_at = models.DateTimeField(
        null=True, blank=True, help_text="Usage up to then is metered, shown and charged 0."
    )
    commitment = models.DecimalField(
        max_digits=20,
        decimal_places=AMOUNT_DECIMALS,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="What the invoices of a commitment period come to at least, after discounts and "
        "before tax; what lacks stands on its last one.",
    )
    commitment_interval = models.CharField(
        max_length=11, choices=Interval.choices, default=Interval.YEARLY
    )

    class Meta:
        ordering = ["customer", "starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "customer"],
                condition=Q(ends_at__isnull=True),
                name="subscription_one_open",
                violation_error_message="The customer has another subscription without an end; "
                "end it.",
            ),
            models.CheckConstraint(
                condition=Q(commitment__isnull=True) | Q(commitment__gt=0),
                name="subscription_commitment",
                violation_error_message="A commitment is an amount above zero; or leave it empty.",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="subscription_ends_after_start",
                violation_error_message="A subscription ends after its start.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} on {self.plan}"

    @property
    def paid_in(self) -> str:
        """The currency of its invoices."""
        return self.currency or self.plan.currency
