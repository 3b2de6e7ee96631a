"""What operators want of the agents, and what a host made of it."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from hostmeter_agent.wire_control import (
    KEY_ROTATION_DAYS_MAX,
    POLICY_NAME_LENGTH_MAX,
    PROBE_NAME,
    PROBES_MAX,
    VERSION,
    interval_reason,
    rules_reason,
)

from tenants.models import Environment, TenantOwned


def validate_interval(seconds: int) -> None:
    if reason := interval_reason(seconds):
        raise ValidationError(f"The interval {reason}.")


def validate_rules(rules: Any) -> None:
    if reason := rules_reason(rules):
        raise ValidationError(f"Application rules: {reason}.")


def validate_probes(probes: Any) -> None:
    if not isinstance(probes, list) or len(probes) > PROBES_MAX:
        raise ValidationError(f"Write a list of at most {PROBES_MAX} names of probes.")
    if not all(isinstance(name, str) and PROBE_NAME.match(name) for name in probes):
        raise ValidationError('Write names of probes, as in ["network", "users"].')


class AgentSettings(TenantOwned):
    """What agents are to do: of one host, of an environment's hosts, or of all of a tenant's.

    What is left open is taken from the next wider settings, and at last from the agent's own
    defaults. Rules add up, the host's first; so do probes that are switched off.
    """

    environment = models.ForeignKey(
        Environment,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        help_text="For the hosts of one environment.",
    )
    host = models.ForeignKey(
        "metering.Host",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        help_text="For one host. With neither, these are for every host.",
    )
    scrape_interval_seconds = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[validate_interval],
        help_text="How often an agent measures. Empty: as the environment's policy says.",
    )
    own_cgroups = models.BooleanField(
        null=True,
        blank=True,
        verbose_name="cgroups of its own",
        help_text="Whether the agent may put the processes that a rule matches into cgroups that "
        "it makes. Short processes are then metered exactly.",
    )
    probes_off = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_probes],
        verbose_name="probes switched off",
        help_text='As a list: ["network", "users"].',
    )
    key_rotation_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(KEY_ROTATION_DAYS_MAX)],
        help_text="A host makes itself a new key when its own is this old. Empty: 90 days.",
    )
    minimum_agent_version = models.CharField(
        max_length=27,
        blank=True,
        validators=[RegexValidator(VERSION, "Write a version as 1.4 or 1.4.2.")],
    )
    minimum_version_by = models.DateTimeField(
        null=True, blank=True, help_text="By when the agents have to have that version."
    )
    rules = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_rules],
        verbose_name="application rules",
        help_text="As the [[application]] tables of the agent's file, in JSON: "
        '[{"name": "mail", "process": "postfix*"}]. The first that matches wins.',
    )

    class Meta:
        verbose_name = "agent settings"
        verbose_name_plural = "agent settings"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "environment", "host"],
                name="agent_settings_once",
                nulls_distinct=False,
                violation_error_message="There are settings for these hosts already.",
            ),
            models.CheckConstraint(
                condition=Q(environment__isnull=True) | Q(host__isnull=True),
                name="agent_settings_one_scope",
                violation_error_message="Choose an environment or a host, not both.",
            ),
        ]

    def __str__(self) -> str:
        if self.host is not None:
            return f"host {self.host}"
        return f"hosts of {self.environment}" if self.environment is not None else "every host"

    def clean(self) -> None:
        if self.minimum_version_by is not None and not self.minimum_agent_version:
            raise ValidationError({"minimum_agent_version": "Which version, by that time?"})


class AppliedState(TenantOwned):
    """What a host said last of the desired state that it fetched."""

    host = models.ForeignKey(
        "metering.Host", on_delete=models.CASCADE, db_constraint=False, related_name="applied"
    )
    etag = models.CharField(max_length=80, help_text="Of the state that it fetched last.")
    refused = models.BooleanField(help_text="It works on with what it had before.")
    agent_version = models.CharField(max_length=40)
    errors = models.JSONField(default=list)
    probes = models.JSONField(default=dict, help_text="What each probe says of itself.")
    policy = models.CharField(
        max_length=POLICY_NAME_LENGTH_MAX,
        blank=True,
        default="",
        db_default="",
        help_text="The policy's version that it goes by.",
    )
    applied_at = models.DateTimeField(help_text="By the host's clock.")
    reported_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "host"], name="applied_state_once"),
        ]

    def __str__(self) -> str:
        return self.etag
