"""Where something was over a limit of its policy, or ran against its rules."""

from typing import ClassVar

from django.db import models

from metering.models import Application, Host
from tenants.models import Customer, Environment, TenantOwned
from tenants.policy_models import PolicyVersion

SPEND_TERMS = ("application_spend_max", "customer_spend_max")
RULES = "rules"


class PolicyBreach(TenantOwned):
    """One limit of a policy's version that was passed, from its beginning to its end, or, of spend,
    in a month: by whom, where, and what was measured at its most. It follows usage that comes late
    and corrections: a breach that they take back is removed, one that they cut is two, and two that
    they join are one. What comes back on the same day is the same breach."""

    class Term(models.TextChoices):
        CPU = "cpu_millicores", "CPU, millicores"
        MEMORY = "memory_bytes", "Memory, bytes"
        PROCESSES = "processes_max", "Processes"
        FILES = "open_files_max", "Open files"
        USERS = "users_max", "Concurrent users"
        RULES = "rules", "Who may run what"
        APPLICATION_SPEND = "application_spend_max", "Spend of an application, a month"
        CUSTOMER_SPEND = "customer_spend_max", "Spend of a customer, a month"

    version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, db_constraint=False, related_name="breaches"
    )
    term = models.CharField(max_length=24, choices=Term.choices)
    day = models.DateField(
        help_text="The day in UTC on which it began; of spend, the first of the month."
    )
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, null=True, db_constraint=False, related_name="+"
    )
    application = models.ForeignKey(
        Application,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="breaches",
        help_text="None where it is all that a customer uses.",
    )
    host = models.ForeignKey(
        Host,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="breaches",
        help_text="None where all hosts count together.",
    )
    customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="breaches",
        help_text="Whom it was billed to when it was noticed.",
    )
    limit = models.DecimalField(max_digits=54, decimal_places=4, null=True)
    measured = models.DecimalField(
        max_digits=54, decimal_places=4, null=True, help_text="The most that was measured."
    )
    buckets_over = models.PositiveIntegerField(
        default=0, help_text="In how many 5-minute buckets; of spend none."
    )
    first_over_at = models.DateTimeField()
    last_over_at = models.DateTimeField(help_text="The end of the last bucket that was over.")
    standing = models.BooleanField(help_text="Whether it goes on.")
    told = models.PositiveIntegerField(default=0, help_text="How often it was told to begin.")
    noticed_at = models.DateTimeField()

    class Meta:
        verbose_name = "limit breach"
        verbose_name_plural = "limit breaches"
        ordering = ["-last_over_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "day", "version", "term", "application", "host", "customer"],
                name="policy_breach_once",
                nulls_distinct=False,
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "application", "day"], name="policy_breach_application"),
            models.Index(fields=["tenant", "last_over_at"], name="policy_breach_last_over"),
        ]

    def __str__(self) -> str:
        return f"{self.get_term_display()}: {self.application or self.customer}"

    @property
    def is_of_money(self) -> bool:
        return self.term in SPEND_TERMS


class BreachDay(TenantOwned):
    """What of a breach lies on one day in UTC, as it was worked out last. Days are looked at one by
    one; metering/core/breaches.py says which of them are one breach. Of spend there are none."""

    breach = models.ForeignKey(
        PolicyBreach, on_delete=models.CASCADE, db_constraint=False, related_name="days"
    )
    day = models.DateField()
    measured = models.DecimalField(max_digits=54, decimal_places=4, null=True)
    buckets_over = models.PositiveIntegerField()
    first_over_at = models.DateTimeField()
    last_over_at = models.DateTimeField()

    class Meta:
        ordering = ["day", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "breach", "day"], name="breach_day_once"),
        ]

    def __str__(self) -> str:
        return f"{self.breach}: {self.day}"
