"""Who is billed by which plan."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.plans import Plan
from tenants.models import Customer, TenantOwned


class Subscription(TenantOwned):
    """A customer's plan from a moment on, billed monthly in the customer's time zone.

    A trigger keeps a customer's subscriptions from overlapping.
    """

    class Cycle(models.TextChoices):
        CALENDAR = "calendar", "calendar month"
        ANNIVERSARY = "anniversary", "month from the start"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="subscriptions"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, db_constraint=False)
    cycle = models.CharField(max_length=12, choices=Cycle.choices, default=Cycle.CALENDAR)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

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
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="subscription_ends_after_start",
                violation_error_message="A subscription ends after its start.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} on {self.plan}"
