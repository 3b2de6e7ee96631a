"""Plans, their versions and prices."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Deferrable, F, Q
from django.utils import timezone

from billing.core.allowance import ROLLOVER_PERIODS_MAX
from billing.models.fields import CODE, CURRENCY
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


FACTOR_MAX = Decimal("99.9999")


def factor(help_text: str) -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default=Decimal(1),
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )


class PlanVersion(TenantOwned):
    """A plan's prices from a moment on, and which usage they count. It cannot change once an
    invoice has used it.

    One that is not published is a draft: it rates nothing but a backtest.
    """

    class TakesEffect(models.TextChoices):
        PERIOD = "period", "at the next period boundary"
        AT_ONCE = "at_once", "at once, with proration"

    class TransactionsOn(models.TextChoices):
        PRIMARY = "primary", "the primary only"
        EVERY = "every", "every role, by its factor"

    class Primaries(models.TextChoices):
        EVERY = "every", "all of them"
        ONE = "one", "the one known longest"

    class Gaps(models.TextChoices):
        NOT_BILLED = "not_billed", "not billed"
        HELD = "held", "held at the last rate"
        INTERPOLATED = "interpolated", "interpolated"
        CREDITED = "credited", "not billed, and flat fees credited for it"

    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, db_constraint=False, related_name="versions"
    )
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField(
        help_text="Periods that start at or after this moment are rated with it."
    )
    takes_effect = models.CharField(
        max_length=7,
        choices=TakesEffect.choices,
        default=TakesEffect.PERIOD,
        help_text="At once: it also rates what is left of the periods that run at that moment.",
    )
    published_at = models.DateTimeField(null=True, blank=True, default=timezone.now, editable=False)
    primary_factor = factor("What share of a primary's usage is billed: 1 all of it, 0 none.")
    replica_factor = factor("What share of a replica's usage is billed.")
    standby_factor = factor("What share of a standby's usage is billed.")
    transactions_on = models.CharField(
        max_length=12,
        choices=TransactionsOn.choices,
        default=TransactionsOn.PRIMARY,
        help_text="A replica follows its primary's requests; counted on both, they are billed "
        "twice.",
    )
    primaries = models.CharField(
        max_length=8,
        choices=Primaries.choices,
        default=Primaries.EVERY,
        help_text="What is billed where several instances of an application call themselves its "
        "primary at one time, as in a failover or a move.",
    )
    gaps = models.CharField(
        max_length=12,
        choices=Gaps.choices,
        default=Gaps.NOT_BILLED,
        help_text="What becomes of time in which an agent was silent.",
    )

    class Meta:
        ordering = ["plan", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "plan", "number"], name="plan_version_number"
            ),
            models.CheckConstraint(
                condition=Q(
                    primary_factor__range=(0, FACTOR_MAX),
                    replica_factor__range=(0, FACTOR_MAX),
                    standby_factor__range=(0, FACTOR_MAX),
                ),
                name="plan_version_factors",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


def accepted_by_default() -> list[str]:
    return sorted(ACCEPTED_BY_DEFAULT)


class Price(TenantOwned):
    """What one meter, a period or a share of other prices costs in a plan version; billing.core
    says how it is computed."""

    class Aggregation(models.TextChoices):
        SUM = "sum", "sum of a counter"
        INTEGRAL = "integral", "integral of a gauge over time"
        MAXIMUM = "maximum", "largest value in the period"
        PERCENTILE = "percentile", "percentile of the intervals"
        PEAK = "peak", "largest of the intervals"
        UNIQUE = "unique", "count of different values"

    class Kind(models.TextChoices):
        PER_UNIT = "per_unit", "per unit"
        GRADUATED = "graduated", "graduated"
        VOLUME = "volume", "volume"
        PACKAGE = "package", "package"
        MATRIX = "matrix", "matrix by attributes"
        FLAT = "flat", "flat fee a period"
        PERCENTAGE = "percentage", "percentage of other prices"

    class Quality(models.TextChoices):
        EXACT = "exact", "exact"
        SAMPLED = "sampled", "sampled"
        LOWER_BOUND = "lower_bound", "lower bound"
        ESTIMATED = "estimated", "estimated"

    class Over(models.TextChoices):
        APPLICATION = "application", "each application"
        CUSTOMER = "customer", "all applications together"

    UNMETERED = (Kind.FLAT, Kind.PERCENTAGE)
    WITH_UNIT_PRICE = (Kind.PER_UNIT, Kind.PACKAGE, Kind.FLAT)
    TIERED = (Kind.GRADUATED, Kind.VOLUME)

    plan_version = models.ForeignKey(
        PlanVersion, on_delete=models.CASCADE, db_constraint=False, related_name="prices"
    )
    position = models.PositiveSmallIntegerField(default=1)
    code = models.CharField(
        max_length=40,
        blank=True,
        validators=[CODE],
        help_text="Names the price in every version of the plan, for percentages, roll-over and "
        "discounts. Left empty, it is made from the label.",
    )
    label = models.CharField(max_length=120, help_text="Stands on the invoice: CPU time, memory …")
    meter = models.CharField(max_length=64, blank=True)
    aggregation = models.CharField(max_length=10, choices=Aggregation.choices, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PER_UNIT)
    currency = models.CharField(
        max_length=3,
        blank=True,
        validators=[CURRENCY],
        help_text="What it is quoted in; left empty, the plan's own currency. Subscriptions in "
        "another currency are rated with the prices that are quoted in it, and no others.",
    )
    interval_minutes = models.PositiveSmallIntegerField(
        default=5,
        help_text="Of a percentile or a peak: a multiple of 5 that divides a day.",
    )
    percentile = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        default=Decimal(95),
        help_text="Nearest rank: the value that this many percent of the intervals do not exceed.",
    )
    over = models.CharField(
        max_length=12,
        choices=Over.choices,
        default=Over.APPLICATION,
        help_text="Whose intervals a percentile or a peak looks at.",
    )
    distinct = models.CharField(
        max_length=64, blank=True, help_text="The property whose different values are counted."
    )
    allowance = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Included in each period, in the price's unit.",
    )
    rollover_periods = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(ROLLOVER_PERIODS_MAX)],
        help_text="For how many periods more an unused allowance lasts.",
    )
    unit_price = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Per unit, per package or, of a flat fee, per period; else left empty.",
    )
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text="Graduated and volume only: "
        '[{"up_to": "100", "unit_price": "0.05", "flat_fee": "0"}, …, '
        '{"up_to": null, "unit_price": "0.04", "flat_fee": "0"}].',
    )
    definition = models.JSONField(
        default=dict,
        blank=True,
        help_text='Package: {"size": "100"}. Flat: {"timing": "advance" or "arrears", '
        '"prorated": true}. Percentage: {"percent": "10", "of": ["cpu"], "applies_to": "total" or '
        '"each", "allowance": "0"}. Matrix: {"by": ["role", "region"], "rows": [{"values": '
        '["primary", "*"], "unit_price": "0.05"}], "default": "0.04" or null}.',
    )
    minimum = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="What a period's lines of this price come to at least.",
    )
    maximum = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="What a period's lines of this price come to at most.",
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
            models.UniqueConstraint(
                fields=["tenant", "plan_version", "code", "currency"],
                # Versions from before there were codes have none.
                condition=~Q(code=""),
                name="price_code",
                violation_error_message="Another price of the version has this code.",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["per_unit", "package", "flat"], unit_price__isnull=False)
                | Q(
                    kind__in=["graduated", "volume", "matrix", "percentage"],
                    unit_price__isnull=True,
                ),
                name="price_has_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["flat", "percentage"], meter="", unit="", aggregation="")
                | ~Q(kind__in=["flat", "percentage"])
                & ~Q(meter="")
                & ~Q(unit="")
                & ~Q(aggregation=""),
                name="price_counts_its_meter",
            ),
            models.CheckConstraint(
                condition=Q(rollover_periods=0)
                | Q(rollover_periods__lte=ROLLOVER_PERIODS_MAX, allowance__gt=0),
                name="price_rolls_over_an_allowance",
            ),
            models.CheckConstraint(
                condition=Q(percentile__gt=0, percentile__lte=100), name="price_percentile"
            ),
            models.CheckConstraint(
                condition=Q(minimum__isnull=True)
                | Q(maximum__isnull=True)
                | Q(minimum__lte=F("maximum")),
                name="price_minimum_below_maximum",
                violation_error_message="The minimum is above the maximum.",
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
