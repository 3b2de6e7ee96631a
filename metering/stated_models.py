"""Usage that is stated and not measured: events that no host shows, what is allocated of hosts
by rules, and corrections."""

from datetime import UTC
from typing import ClassVar, cast

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from metering.core.allocation import RULES, Rule
from metering.core.cloudevents import ALLOCATED_TYPE
from metering.models import Application, Host, Instance, Role
from metering.stored_in import StoredInField
from tenants.models import TenantOwned


class Event(TenantOwned):
    """One CloudEvent: usage at a moment, known once by its source and id. What is allocated of a
    host's hour is posted as one as well, and alone can take back what was posted before."""

    source = models.CharField(max_length=200)
    event_id = models.CharField(max_length=200)
    type = models.CharField(max_length=64)
    subject = models.CharField(max_length=401)
    time = models.DateTimeField()
    bucket_start = models.DateTimeField(help_text="The 5-minute bucket that its time lies in.")
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, db_constraint=False, related_name="events"
    )
    instance = models.ForeignKey(
        Instance, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    meter = models.CharField(max_length=64)
    quantity = models.BigIntegerField()
    data = models.JSONField(help_text="Its properties beside meter and quantity.")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of what it says.")
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    stored_in = StoredInField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "source", "event_id"], name="event_once"),
            models.CheckConstraint(
                condition=Q(quantity__gte=0) | Q(type=ALLOCATED_TYPE), name="event_quantity"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "application", "bucket_start"], name="event_bucket"),
            models.Index(
                fields=["tenant", "bucket_start"],
                condition=Q(type=ALLOCATED_TYPE),
                name="event_allocated",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class Correction(TenantOwned):
    """What usage of [starts_at, ends_at) counts as, in place of what was measured. Rows are only
    ever added: a trigger refuses to change or delete one. Where two overlap the later one decides.
    """

    class Kind(models.TextChoices):
        DELETE = "delete"
        REPLACE = "replace"

    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, db_constraint=False, related_name="corrections"
    )
    instance = models.ForeignKey(
        Instance,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        help_text="Empty: all of the application's instances.",
    )
    kind = models.CharField(max_length=7, choices=Kind.choices)
    meters = ArrayField(
        models.CharField(max_length=64),
        null=True,
        blank=True,
        help_text="What is deleted. Empty: every meter. A replacement names its own.",
    )
    quantities = models.JSONField(
        null=True,
        blank=True,
        help_text='What replaces it, over the whole time: {"cpu.time": 3600000000}.',
    )
    role = models.CharField(
        max_length=7,
        choices=Role.choices,
        default=Role.PRIMARY,
        help_text="What a replacement counts as.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    author = models.CharField(max_length=254, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    stored_in = StoredInField()

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="correction_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(kind="delete", quantities__isnull=True)
                | Q(kind="replace", quantities__isnull=False, meters__isnull=True),
                name="correction_has_its_kind",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "application", "ends_at"], name="correction_range"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.application}, {self.starts_at:%Y-%m-%d %H:%M}"


class AllocationRule(TenantOwned):
    """How hosts' idle and unattributed usage of a meter is spread from a moment on: of one host, of
    a class of hosts, or of all. A trigger refuses to change or delete one.

    The narrowest rule decides; of several alike the one that starts last, then the one made last.
    """

    meter = models.CharField(max_length=64)
    spread = models.CharField(
        max_length=8, choices=[(rule, rule.replace("_", " ")) for rule in RULES]
    )
    host = models.ForeignKey(
        Host,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="allocation_rules",
    )
    host_class = models.CharField(max_length=60, blank=True)
    starts_at = models.DateTimeField(help_text="The start of an hour (UTC).")
    author = models.CharField(max_length=254, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["meter", "-starts_at", "-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(host__isnull=True) | Q(host_class=""), name="allocation_rule_scope"
            ),
        ]

    @property
    def rule(self) -> Rule:
        return cast(Rule, self.spread)

    def __str__(self) -> str:
        return f"{self.meter} {self.get_spread_display()}, {self.hosts_in_words}"

    @property
    def hosts_in_words(self) -> str:
        if self.host is not None:
            return str(self.host)
        return f"hosts of the class {self.host_class}" if self.host_class else "all hosts"


class AllocationMark(TenantOwned):
    """An hour whose allocation may be out of date. Rows are only ever added and deleted, as those
    of DirtyBucket are, and for the same reason."""

    hour = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["tenant", "hour"], name="allocation_mark_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}"


class AllocationFailure(TenantOwned):
    """An hour of a host, or of all hosts, whose allocation could not be posted. It is tried again
    once its hour is marked again, and gone once that succeeds."""

    hour = models.DateTimeField()
    host = models.ForeignKey(
        Host,
        on_delete=models.CASCADE,
        null=True,
        db_constraint=False,
        related_name="+",
        help_text="Empty: the whole hour failed.",
    )
    meter = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=500)
    failed_at = models.DateTimeField()

    class Meta:
        ordering = ["hour", "host__name", "meter"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "hour", "host", "meter"],
                name="allocation_failure_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        what = "all hosts" if self.host is None else f"{self.meter} of {self.host}"
        return f"{self.hour.astimezone(UTC):%Y-%m-%dT%H:%MZ}, {what}: {self.reason}"
