"""What a customer means to spend in a month, and what came of it."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.core.budgets import THRESHOLDS
from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from metering.models import Application
from tenants.models import Customer, Environment, TenantOwned


def every_threshold() -> list[str]:
    """What a budget tells unless it is said otherwise."""
    return list(THRESHOLDS)


def _figure(help_text: str = "") -> "models.DecimalField[Decimal | None, Decimal | None]":
    return models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        null=True,
        editable=False,
        help_text=help_text,
    )


class BudgetQuerySet(models.QuerySet["Budget"]):
    def kept(self) -> "BudgetQuerySet":
        """Those that were not removed."""
        return self.filter(removed_at__isnull=True)


class Budget(TenantOwned):
    """An amount, or of a meter a quantity, for each calendar month in the customer's time zone.

    Amounts are those of the upcoming invoice, before tax. The figures are those of `evaluated_at`.
    """

    class Scope(models.TextChoices):
        CUSTOMER = "customer", "Everything"
        APPLICATION = "application", "One application"
        ENVIRONMENT = "environment", "One environment"
        METER = "meter", "One meter"

    class AtLimit(models.TextChoices):
        TELL = "tell", "Tell me"
        ASK = "ask", "Ask the operator"
        STOP = "stop", "Have the application stopped"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="budgets"
    )
    name = models.CharField(max_length=120)
    scope = models.CharField(max_length=12, choices=Scope.choices, default=Scope.CUSTOMER)
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    meter = models.CharField(max_length=64, blank=True)
    limit = models.DecimalField(max_digits=24, decimal_places=AMOUNT_DECIMALS)
    currency = models.CharField(max_length=3, blank=True, help_text="Of an amount.")
    unit = models.CharField(max_length=20, blank=True, help_text="Of a quantity.")
    thresholds = ArrayField(
        models.CharField(max_length=8), default=every_threshold, size=len(THRESHOLDS)
    )
    by_email = models.BooleanField(default=True)
    by_webhook = models.BooleanField(default=True)
    at_limit = models.CharField(max_length=4, choices=AtLimit.choices, default=AtLimit.TELL)

    month_start = models.DateTimeField(null=True, editable=False)
    spent = _figure("In the month that begins then.")
    foreseen_low = _figure()
    foreseen = _figure("What the month is likely to come to; unknown in its first days.")
    foreseen_high = _figure()
    evaluated_at = models.DateTimeField(null=True, editable=False)
    waits_for = models.CharField(
        max_length=200, blank=True, editable=False, help_text="Why it has no figures."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(limit__gt=0), name="budget_above_zero"),
            models.CheckConstraint(
                condition=(
                    Q(scope="customer", application=None, environment=None, meter="")
                    | Q(scope="application", application__isnull=False, environment=None, meter="")
                    | Q(scope="environment", application=None, environment__isnull=False, meter="")
                    | (Q(scope="meter", application=None, environment=None) & ~Q(meter=""))
                ),
                name="budget_of_one_scope",
            ),
            models.CheckConstraint(
                condition=(Q(scope="meter", currency="") & ~Q(unit=""))
                | (~Q(scope="meter") & ~Q(currency="") & Q(unit="")),
                name="budget_of_amount_or_quantity",
            ),
            models.CheckConstraint(
                condition=~Q(at_limit="stop") | Q(scope="application"),
                name="budget_stops_an_application",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def measure(self) -> str:
        """What its limit and figures are in: a currency or a unit."""
        return self.currency or self.unit


class BudgetAlert(TenantOwned):
    """A threshold that was reached: once a month for each limit. It is not taken back where a
    correction lowers the usage again."""

    budget = models.ForeignKey(
        Budget, on_delete=models.CASCADE, db_constraint=False, related_name="alerts"
    )
    month_start = models.DateTimeField()
    threshold = models.CharField(max_length=8)
    limit = models.DecimalField(max_digits=24, decimal_places=AMOUNT_DECIMALS)
    spent = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    foreseen = _figure()
    told = models.BooleanField(
        help_text="Whether it was told; of several that were reached together the highest is."
    )
    noted_at = models.DateTimeField()

    class Meta:
        ordering = ["-noted_at", "-spent", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "budget", "month_start", "threshold", "limit"],
                name="budget_alert_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget}: {self.threshold}"


class BudgetRequest(TenantOwned):
    """What a customer's budget asks of the operator at its limit. A person does it, and says so
    here: nothing is stopped by itself."""

    class Kind(models.TextChoices):
        ASK = "ask", "Asks what to do"
        STOP = "stop", "Asks to stop the application"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done"
        DECLINED = "declined", "Declined"

    alert = models.ForeignKey(
        BudgetAlert, on_delete=models.CASCADE, db_constraint=False, related_name="requests"
    )
    kind = models.CharField(max_length=4, choices=Kind.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    note = models.CharField(max_length=500, blank=True, help_text="The customer reads it.")
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "alert"], name="budget_request_once"),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None)
                | (~Q(state="open") & Q(decided_at__isnull=False)),
                name="budget_request_open_or_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alert.budget}: {self.get_kind_display()}"
