"""What is agreed beside a plan's prices: minimums, customers' own prices, discounts."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from billing.models.fields import AMOUNT_DECIMALS, CURRENCY
from billing.models.plans import Plan, PlanVersion
from billing.models.subscriptions import Subscription
from billing.price_codes import check_price_codes
from tenants.models import Customer, TenantOwned

# What people agree on stays below what invoices can come to.
_AGREED_DIGITS = 20


class PlanTerms(TenantOwned):
    """What a plan version asks beside its prices, in one currency. It cannot change once an
    invoice has used the version."""

    plan_version = models.ForeignKey(
        PlanVersion, on_delete=models.CASCADE, db_constraint=False, related_name="terms"
    )
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    minimum = models.DecimalField(
        max_digits=_AGREED_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="What the charges of a period come to at least, before discounts and tax.",
    )

    class Meta:
        verbose_name = "minimum"
        ordering = ["plan_version", "currency"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "plan_version", "currency"],
                name="plan_terms_once_a_currency",
                violation_error_message="The version has terms in this currency.",
            ),
            models.CheckConstraint(condition=Q(minimum__gte=0), name="plan_terms_minimum"),
        ]

    def __str__(self) -> str:
        return f"{self.plan_version}, {self.currency}"


class PriceOverride(TenantOwned):
    """A customer's own price in place of a plan's, [starts_at, ends_at).

    It cannot change for what is invoiced and finalized.
    """

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    code = models.CharField(max_length=64, help_text="Of the price that it stands in for.")
    currency = models.CharField(
        max_length=3,
        validators=[CURRENCY],
        help_text="It stands in for prices in this currency alone.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    definition = models.JSONField(
        help_text='What differs from the plan\'s price: {"unit_price": "0.03"}, or tiers, '
        "allowance and so on, as a price has them; numbers are written as text."
    )
    reason = models.CharField(max_length=200, blank=True, help_text="Why: an offer's number …")

    class Meta:
        verbose_name = "customer's own price"
        verbose_name_plural = "customers' own prices"
        ordering = ["customer", "code", "starts_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="price_override_ends_after_start",
                violation_error_message="A price ends after its start.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.customer}"


class Discount(TenantOwned):
    """Something off a customer's, a subscription's or a plan's invoices."""

    class Duration(models.TextChoices):
        ONCE = "once", "once"
        PERIODS = "periods", "for a number of periods"
        FOREVER = "forever", "for ever"

    name = models.CharField(max_length=60, help_text="Stands on the invoice.")
    customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
    )
    plan = models.ForeignKey(
        Plan,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        help_text="Of every customer's invoices on this plan.",
    )
    percent = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    amount = models.DecimalField(
        max_digits=_AGREED_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    currency = models.CharField(
        max_length=3, blank=True, validators=[CURRENCY], help_text="Of the amount."
    )
    price_codes = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        size=100,
        help_text="Of the prices that it is taken from; left empty, the whole invoice.",
    )
    position = models.PositiveSmallIntegerField(
        default=1, help_text="Lower ones are taken first; at equal ones percentages are."
    )
    duration = models.CharField(max_length=8, choices=Duration.choices, default=Duration.FOREVER)
    periods = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    starts_at = models.DateTimeField(
        help_text="Invoices of periods that end after this moment have it."
    )
    ends_at = models.DateTimeField(
        null=True, blank=True, help_text="Invoices of periods that start from then on have it not."
    )

    class Meta:
        ordering = ["position", "name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                # What is compared with NULL is not false, so each side says that there is a value.
                condition=Q(
                    percent__isnull=False,
                    percent__gt=0,
                    percent__lte=100,
                    amount__isnull=True,
                    currency="",
                )
                | (Q(percent__isnull=True, amount__isnull=False, amount__gt=0) & ~Q(currency="")),
                name="discount_percent_or_amount",
                violation_error_message="A discount is a percentage above 0 and up to 100, or an "
                "amount above zero with its currency.",
            ),
            models.CheckConstraint(
                condition=Q(customer__isnull=False, subscription__isnull=True, plan__isnull=True)
                | Q(customer__isnull=True, subscription__isnull=False, plan__isnull=True)
                | Q(customer__isnull=True, subscription__isnull=True, plan__isnull=False),
                name="discount_has_one_subject",
                violation_error_message="A discount is of a customer, a subscription or a plan.",
            ),
            models.CheckConstraint(
                condition=Q(duration="periods", periods__isnull=False, periods__gt=0)
                | (~Q(duration="periods") & Q(periods__isnull=True)),
                name="discount_periods",
                violation_error_message="Say for how many periods, or leave the number empty.",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="discount_ends_after_start",
                violation_error_message="A discount ends after its start.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        check_price_codes(self.price_codes)

    @property
    def periods_max(self) -> int | None:
        """On how many invoices of a subscription it stands; None: on all."""
        if self.duration == self.Duration.ONCE:
            return 1
        return self.periods
