"""What a policy says from a moment on: its versions."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.core.policies import Rule, rules_of, rules_reason
from tenants.models import VERSION, Policy, TenantOwned

TERMS: Final = (
    "rules",
    "enforced",
    "cpu_millicores",
    "memory_bytes",
    "processes_max",
    "open_files_max",
    "users_max",
    "application_spend_max",
    "customer_spend_max",
    "spend_currency",
    "minimum_agent_version",
    "minimum_agent_by",
    "minimum_environment_version",
    "minimum_environment_by",
    "offline_grace_seconds",
)
"""What a version says, in the order in which it is shown."""

_VERSION = RegexValidator(VERSION, "Write a version as 1.4 or 1.4.2.")
_OFFLINE_MAX: Final = int(timedelta(days=400).total_seconds())


def validate_rules(rules: Any) -> None:
    if reason := rules_reason(rules):
        raise ValidationError(f"Rules: {reason}.")


def _limit(
    most: int, help_text: str, verbose_name: str
) -> "models.PositiveBigIntegerField[Any, Any]":
    return models.PositiveBigIntegerField(
        verbose_name,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(most)],
        help_text=help_text,
    )


def _spend_limit(
    help_text: str, verbose_name: str
) -> "models.DecimalField[Decimal | None, Decimal | None]":
    return models.DecimalField(
        verbose_name,
        max_digits=19,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.0001"))],
        help_text=help_text,
    )


class PolicyVersionQuerySet(models.QuerySet["PolicyVersion"]):
    def published(self) -> "PolicyVersionQuerySet":
        return self.filter(published_at__isnull=False)


class PolicyVersion(TenantOwned):
    """A policy's terms from `effective_from` on: a draft until it is published, and never changed
    after that (a trigger refuses) but in how many hosts have it.

    Limits are each application's on each host, users each application's altogether, spend by the
    calendar month. How something is billed is stated where bills are made, and only there
    (docs/decisions/0045, 0055).
    """

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, db_constraint=False, related_name="versions"
    )
    number = models.PositiveIntegerField(editable=False)
    note = models.CharField(max_length=200, blank=True, help_text="What it is for, in a few words.")
    rules = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_rules],
        verbose_name="who may run what",
        help_text="The first rule that fits decides; what none fits may run. In a name * stands "
        'for any text: [{"effect": "deny", "application": "miner*"}]. A rule can also name an '
        "environment, and a customer by its reference.",
    )
    enforced = models.BooleanField(
        default=False,
        verbose_name="held by the kernel",
        help_text="Agents that have cgroups of their own hold CPU, memory and processes to the "
        "limits. Otherwise, and everywhere else, breaches are shown and nothing is held.",
    )
    cpu_millicores = _limit(
        8_192_000, "Thousandths of a core: 1500 is one and a half cores.", "CPU, millicores"
    )
    memory_bytes = _limit(2**50, "In bytes: 1073741824 is one GiB.", "memory, bytes")
    processes_max = _limit(2**22, "Processes at one time.", "processes")
    open_files_max = _limit(2**40, "Open files at one time.", "open files")
    users_max = _limit(2**40, "Users at one time, on all hosts together.", "concurrent users")
    application_spend_max = _spend_limit(
        "What one application may come to in a calendar month, before tax. What is over it is "
        "listed and told; nothing is stopped, and it is billed.",
        "spend of an application, a month",
    )
    customer_spend_max = _spend_limit(
        "What one customer may come to in a calendar month with the applications of the "
        "environments that carry this policy, before tax.",
        "spend of a customer, a month",
    )
    spend_currency = models.CharField(
        "currency of spend",
        max_length=3,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{3}\Z", "Write a currency as EUR.")],
        help_text="Whoever is billed in another currency is not judged.",
    )
    minimum_agent_version = models.CharField(max_length=27, blank=True, validators=[_VERSION])
    minimum_agent_by = models.DateTimeField(
        null=True, blank=True, help_text="By when agents have to have that version."
    )
    minimum_environment_version = models.CharField(max_length=27, blank=True, validators=[_VERSION])
    minimum_environment_by = models.DateTimeField(
        null=True, blank=True, help_text="By when environments have to have that version."
    )
    offline_grace_seconds = models.PositiveIntegerField(
        "offline grace, seconds",
        null=True,
        blank=True,
        validators=[MinValueValidator(300), MaxValueValidator(_OFFLINE_MAX)],
        help_text="How long a host may work on with a policy that it cannot refresh before it "
        "says that this is too long. It goes on metering.",
    )
    effective_from = models.DateTimeField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.CharField(max_length=254, blank=True, editable=False)
    rollout_percent = models.PositiveSmallIntegerField(
        default=100,
        editable=False,
        validators=[MaxValueValidator(100)],
        help_text="The share of hosts that have it; the others go by the version before.",
    )
    rolled_back_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PolicyVersionQuerySet.as_manager()

    class Meta:
        ordering = ["policy__name", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "policy", "number"], name="policy_version_number"
            ),
            models.UniqueConstraint(
                fields=["tenant", "policy"],
                condition=Q(published_at__isnull=True),
                name="policy_version_one_draft",
            ),
            models.CheckConstraint(
                condition=Q(rollout_percent__lte=100), name="policy_version_share"
            ),
            models.CheckConstraint(
                condition=Q(published_at__isnull=True, effective_from__isnull=True)
                | Q(published_at__isnull=False, effective_from__isnull=False),
                name="policy_version_takes_effect",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} {self.number}"

    @property
    def is_draft(self) -> bool:
        return self.published_at is None

    @property
    def terms(self) -> dict[str, Any]:
        """What it says, by name; None for what it says nothing of."""
        values = {name: getattr(self, name) for name in TERMS}
        return {name: value if value not in ("", []) else None for name, value in values.items()}

    @property
    def parsed_rules(self) -> tuple[Rule, ...]:
        return rules_of(self.rules)

    def clean(self) -> None:
        wrong = {
            f"minimum_{what}_version": "Which version, by that time?"
            for what in ("agent", "environment")
            if getattr(self, f"minimum_{what}_by") and not getattr(self, f"minimum_{what}_version")
        }
        limited = self.application_spend_max is not None or self.customer_spend_max is not None
        if limited != bool(self.spend_currency):
            wrong["spend_currency"] = (
                "In which currency?" if limited else "Of which limit? Enter one above."
            )
        if wrong:
            raise ValidationError(wrong)
