"""What it costs: plans and prices, subscriptions, invoices."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Deferrable, F, Q
from django.utils import timezone

from billing.core.provenance import Provenance
from metering.core.quality import ACCEPTED_BY_DEFAULT, Measured
from metering.models import Application
from tenants.models import Customer, TenantOwned

_CURRENCY = RegexValidator("^[A-Z]{3}$", "Use an ISO 4217 code such as EUR.")

# Whatever the core can come to: billing.core.money.AMOUNT_BELOW has 50 digits.
_AMOUNT_DIGITS = 54
_AMOUNT_DECIMALS = 4


class Plan(TenantOwned):
    """A named offer. What it costs stands in its versions."""

    name = models.CharField(max_length=120)
    currency = models.CharField(max_length=3, validators=[_CURRENCY])

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


class Invoice(TenantOwned):
    """What one customer owes for one billing period, [period_start, period_end).

    It says whom it was made for, by whom and on which plan in the words of its day: they are
    called something else one day, and the invoice is not.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        FINALIZED = "finalized"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="invoices"
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, db_constraint=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, db_constraint=False)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    billed_to = models.CharField(max_length=120)
    customer_reference = models.CharField(max_length=60)
    time_zone = models.CharField(max_length=64)
    seller = models.CharField(max_length=120)
    plan_label = models.CharField(max_length=140)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=_AMOUNT_DIGITS, decimal_places=_AMOUNT_DECIMALS)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    number = models.PositiveIntegerField(
        null=True, help_text="Given on finalizing, per tenant and without gaps."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finalized_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-period_start", "customer"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "subscription", "period_start"], name="invoice_once_a_period"
            ),
            models.UniqueConstraint(fields=["tenant", "number"], name="invoice_number"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True, finalized_at__isnull=True)
                | Q(status="finalized", number__isnull=False, finalized_at__isnull=False),
                name="invoice_numbered_when_finalized",
            ),
        ]

    def __str__(self) -> str:
        return f"Invoice {self.number}" if self.number else "Draft invoice"


class InvoiceLine(TenantOwned):
    """One price applied to one application's usage, with the steps that lead to its amount."""

    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="lines"
    )
    position = models.PositiveIntegerField()
    price = models.ForeignKey(Price, on_delete=models.PROTECT, db_constraint=False)
    application = models.ForeignKey(Application, on_delete=models.PROTECT, db_constraint=False)
    application_name = models.CharField(max_length=200)
    environment_name = models.CharField(max_length=200)
    label = models.CharField(max_length=120)
    meter = models.CharField(max_length=64)
    unit = models.CharField(max_length=20)
    raw_quantity = models.DecimalField(
        max_digits=40, decimal_places=0, help_text="In the meter's small unit, exact."
    )
    quantity = models.DecimalField(
        max_digits=80, decimal_places=30, help_text="In the price's unit, for reading."
    )
    unrounded = models.DecimalField(max_digits=80, decimal_places=30)
    amount = models.DecimalField(max_digits=_AMOUNT_DIGITS, decimal_places=_AMOUNT_DECIMALS)
    steps = models.JSONField()
    refused_quantity = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        default=0,
        help_text="Not billed: measured in a quality that the price does not accept. In the "
        "meter's small unit, exact.",
    )
    refused_for = models.JSONField(default=list, help_text="Those qualities.")
    measured = models.JSONField(
        default=list, help_text="How the usage was measured: [[quality, method], …]."
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "position"], name="invoice_line_position"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def provenance(self) -> Provenance:
        """How its usage was measured, and what of it is not billed."""
        return Provenance(
            int(self.refused_quantity),
            tuple(self.refused_for),
            tuple(Measured(quality, method) for quality, method in self.measured),
        )


class InvoiceNumbering(TenantOwned):
    """The last number a tenant gave out; locked while the next one is given."""

    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant"], name="invoice_numbering_once"),
        ]

    def __str__(self) -> str:
        return str(self.last_number)
