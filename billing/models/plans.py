"""Plans, their versions and prices."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Deferrable, Q

from billing.models.fields import CURRENCY
from metering.core.quality import ACCEPTED_BY_DEFAULT
from tenants.models import TenantOwned


class Plan(TenantOwned):
    """A named offer. What it costs stands in its versions."""

    name = models.CharField(max_length=120)
    currency = models.CharField(max_length=3, validators=[CURRENCY])

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="plan_name",
                violation_error_message="Another plan has this name.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PlanVersion(TenantOwned):
    """A plan's prices from a moment on. It cannot change once an invoice has used it."""

    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, db_constraint=False, related_name="versions"
    )
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField(
        help_text="Periods that start at or after this moment are rated with it."
    )

    class Meta:
        ordering = ["plan", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "plan", "number"], name="plan_version_number"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


def accepted_by_default() -> list[str]:
    return sorted(ACCEPTED_BY_DEFAULT)


class Price(TenantOwned):
    """What one meter costs in a plan version; billing.core says how it is computed."""

    class Aggregation(models.TextChoices):
        SUM = "sum", "sum of a counter"
        INTEGRAL = "integral", "integral of a gauge over time"
        MAXIMUM = "maximum", "largest value in the period"

    class Kind(models.TextChoices):
        PER_UNIT = "per_unit", "per unit"
        GRADUATED = "graduated", "graduated"

    class Quality(models.TextChoices):
        EXACT = "exact", "exact"
        SAMPLED = "sampled", "sampled"
        LOWER_BOUND = "lower_bound", "lower bound"
        ESTIMATED = "estimated", "estimated"

    plan_version = models.ForeignKey(
        PlanVersion, on_delete=models.CASCADE, db_constraint=False, related_name="prices"
    )
    position = models.PositiveSmallIntegerField(default=1)
    label = models.CharField(max_length=120, help_text="Stands on the invoice: CPU time, memory …")
    meter = models.CharField(max_length=64)
    aggregation = models.CharField(max_length=10, choices=Aggregation.choices)
    unit = models.CharField(max_length=20)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PER_UNIT)
    allowance = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Included in each period, in the price's unit.",
    )
    unit_price = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Per unit; left empty for a graduated price.",
    )
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text='Graduated only: [{"up_to": "100", "unit_price": "0.05", "flat_fee": "0"}, …, '
        '{"up_to": null, "unit_price": "0.04", "flat_fee": "0"}].',
    )
    accepted_qualities = ArrayField(
        models.CharField(max_length=12, choices=Quality.choices),
        default=accepted_by_default,
        help_text="Usage measured in another way is shown on the invoice and not billed. Usage of "
        "agents that do not say how they measured is always billed.",
    )

    product_class = models.CharField(
        max_length=40,
        default="hosting",
        help_text="Which of the tax rates apply: hosting, support …",
    )

    class Meta:
        ordering = ["plan_version", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "plan_version", "position"],
                name="price_position",
                # Two prices may change places in one transaction.
                deferrable=Deferrable.DEFERRED,
                violation_error_message="Another price of the version has this position.",
            ),
            models.CheckConstraint(
                condition=Q(kind="per_unit", unit_price__isnull=False)
                | Q(kind="graduated", unit_price__isnull=True),
                name="price_has_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(
                    accepted_qualities__contained_by=[
                        "exact",
                        "sampled",
                        "lower_bound",
                        "estimated",
                    ],
                    accepted_qualities__len__gt=0,
                ),
                name="price_accepts_some_quality",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.plan_version})"
