"""What was used: hosts, applications, instances, samples and rollups."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from hostmeter_agent.wire import METERS

from metering.stored_in import StoredInField
from tenants.models import Customer, EnrolmentToken, Environment, Tenant, TenantOwned

# An application of this name holds what an agent could attribute to no program: it is shown, and
# billed to nobody.
UNATTRIBUTED = "unattributed"

# More than any machine has. An hour of that much memory is still a quantity that usage can hold.
CPU_COUNT_MAX = 8_192
MEMORY_BYTES_MAX = 2**50

_PRINTABLE = RegexValidator(r"^[^\x00-\x1f\x7f-\x9f]+$", "No control characters.")


class Role(models.TextChoices):
    """An instance's part in a replicated application, in the wire contract's words."""

    PRIMARY = "primary"
    REPLICA = "replica"
    STANDBY = "standby"


class Host(TenantOwned):
    """A machine with an agent."""

    name = models.CharField(max_length=200, validators=[_PRINTABLE])
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_constraint=False)
    enrolled_at = models.DateTimeField(default=timezone.now, editable=False)
    enrolled_with = models.ForeignKey(
        EnrolmentToken, on_delete=models.PROTECT, null=True, editable=False, db_constraint=False
    )
    last_seen_at = models.DateTimeField(
        null=True, editable=False, help_text="When its newest batch was stored."
    )
    last_window_end = models.DateTimeField(
        null=True, editable=False, help_text="Its usage is known up to here."
    )
    clock_skew_ms = models.IntegerField(
        null=True,
        editable=False,
        help_text="How far its clock was ahead of ours at its last push (behind: negative).",
    )
    samples_stored = models.PositiveBigIntegerField(
        default=0, db_default=0, editable=False, help_text="Since they are counted; all it sent."
    )
    generated = models.BooleanField(
        default=False, editable=False, help_text="Made by the demo; no machine stands behind it."
    )
    retired_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Out of service since then: its keys are revoked, and nobody waits for it.",
    )
    region = models.CharField(
        max_length=60, blank=True, help_text="Where it stands; a price can differ by it."
    )
    host_class = models.CharField(
        max_length=60, blank=True, help_text="What kind of machine; a price can differ by it."
    )
    cpu_count = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(CPU_COUNT_MAX)],
        help_text="Its processors; with them idle time can be allocated.",
    )
    memory_bytes = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(MEMORY_BYTES_MAX)],
        help_text="Its memory; with it idle memory can be allocated.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def lag(self, as_of: datetime) -> timedelta | None:
        """How far its known usage is behind; None before its first batch."""
        return None if self.last_window_end is None else as_of - self.last_window_end


class HostEnvironment(TenantOwned):
    """One more environment, beside its own, that a host may deliver samples for."""

    host = models.ForeignKey(
        Host, on_delete=models.CASCADE, db_constraint=False, related_name="more_environments"
    )
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_constraint=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "host", "environment"], name="host_environment_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} on {self.host}"


class HostKey(TenantOwned):
    """An Ed25519 public key with which a host signs. The private one never leaves the host.

    A key that replaces another is valid at once, and both are until it is first used; from then
    on the former one has a day left (docs/decisions/0010-key-rotation.md).
    """

    host = models.ForeignKey(
        Host, on_delete=models.CASCADE, db_constraint=False, related_name="keys"
    )
    key_id = models.CharField(max_length=100, editable=False)
    public_key = models.BinaryField(max_length=32, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, editable=False, db_constraint=False
    )
    confirmed_at = models.DateTimeField(
        null=True, editable=False, help_text="When a key that replaces another was first used."
    )
    expires_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "key_id"], name="host_key_id"),
            models.UniqueConstraint(fields=["tenant", "public_key"], name="host_key_public_key"),
        ]

    def __str__(self) -> str:
        return self.key_id

    def is_valid(self, as_of: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or as_of < self.expires_at)

    @property
    def awaits_use(self) -> bool:
        return self.replaces_id is not None and self.confirmed_at is None


class HostEpoch(TenantOwned):
    """A life of a host's spool. Two hosts of a tenant never share one: a clone is noticed."""

    epoch = models.UUIDField(editable=False)
    host = models.ForeignKey(
        Host, on_delete=models.CASCADE, db_constraint=False, related_name="epochs"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "epoch"], name="host_epoch_once"),
        ]

    def __str__(self) -> str:
        return str(self.epoch)


class Application(TenantOwned):
    """A program that is metered, wherever in its environment it runs."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_constraint=False)
    name = models.CharField(max_length=200, validators=[_PRINTABLE])
    first_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    generated = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "environment", "name"], name="application_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Instance(TenantOwned):
    """One running copy of an application on one host; or, without a host, a source of its events,
    named so, or what corrections of the whole application count on."""

    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, db_constraint=False, related_name="instances"
    )
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, db_constraint=False)
    name = models.CharField(max_length=200, validators=[_PRINTABLE])
    first_seen_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "application", "host", "name"], name="instance_name"
            ),
            models.UniqueConstraint(
                fields=["tenant", "application", "name"],
                condition=Q(host__isnull=True),
                name="instance_name_without_host",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Assignment(TenantOwned):
    """Whom an application's usage is billed to, over [starts_at, ends_at).

    Usage outside any assignment is kept and shown as unassigned. Assignments of one application
    never overlap; metering.operations sees to it under the application's lock.
    """

    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, db_constraint=False, related_name="assignments"
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_constraint=False)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["application", "starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "application"],
                condition=Q(ends_at__isnull=True),
                name="assignment_one_open",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="assignment_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.application} → {self.customer}"


class SampleBatch(TenantOwned):
    """A signed batch as a host delivered it: the unit of deduplication and of proof."""

    host = models.ForeignKey(Host, on_delete=models.PROTECT, db_constraint=False)
    epoch = models.UUIDField()
    sequence = models.BigIntegerField()
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the inflated body.")
    samples = models.IntegerField()
    key_id = models.CharField(max_length=100)
    signature_input = models.TextField()
    signature = models.TextField()
    content_digest = models.TextField()
    signature_base = models.TextField(
        default="",
        db_default="",
        help_text="What was signed (RFC 9421, 2.5): headers beyond these are kept here.",
    )
    sent_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    stored_in = StoredInField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "host", "epoch", "sequence"], name="sample_batch_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.epoch} #{self.sequence}"


class Measurement(TenantOwned):
    """How samples were measured: a profile that many share. Content is kept once a tenant."""

    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the content.")
    body = models.JSONField(
        help_text='{"meters": {meter: [quality, method]}, "gap": cause, "marks": [mark]}.'
    )
    brought_by = models.UUIDField(
        null=True, editable=False, help_text="The host that was the first to name it."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="measurement_once"),
        ]
        indexes: ClassVar = [
            # How many a host has brought is asked whenever it brings another.
            models.Index(fields=["tenant", "brought_by"], name="measurement_brought_by"),
        ]

    def __str__(self) -> str:
        return self.digest.hex()[:12]


def not_stated() -> list[UUID | None]:
    """The profiles of a rollup whose samples name none."""
    return [None]


class Sample(models.Model):
    """One instance's usage over one window, a column per built-in meter (added below).

    Partitioned by month of window_start; written by COPY and never changed. The columns hold the
    wire's integers; NULL means not measured, `more` holds meters the server does not know.
    """

    pk = models.CompositePrimaryKey("tenant", "batch", "batch_index")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(SampleBatch, on_delete=models.PROTECT)
    batch_index = models.SmallIntegerField(help_text="Its position in the batch, from 0.")
    application = models.ForeignKey(Application, on_delete=models.PROTECT)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT)
    role = models.TextField(choices=Role.choices)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    coverage_ppm = models.IntegerField(help_text="Measured part of the window, in millionths.")
    measurement = models.ForeignKey(
        Measurement, on_delete=models.PROTECT, null=True, related_name="+"
    )
    more = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "metering_sample"


class DirtyBucket(models.Model):
    """A bucket whose rollup is out of date. Rows are only ever added and deleted, so a mark that
    a running ingest has not committed yet can never be consumed with an older one."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    application_id = models.UUIDField()
    bucket_start = models.DateTimeField()
    of_host = models.BooleanField(default=True, help_text="Whether usage of a host may differ.")

    class Meta:
        managed = False
        db_table = "metering_dirtybucket"


for _meter in METERS:
    Sample.add_to_class(_meter.column, models.BigIntegerField(null=True))

# Registered with the app's other models; they refer to hosts by name.
from metering.breach_models import BreachDay, PolicyBreach  # noqa: E402, F401
from metering.control_models import AgentSettings, AppliedState  # noqa: E402, F401
from metering.history_models import (  # noqa: E402, F401
    AgentSettingsChange,
    AssignmentChange,
    HostChange,
    HostKeyChange,
)
from metering.rollup_models import (  # noqa: E402, F401
    DayRollup,
    DayZone,
    HourRollup,
    LocalDay,
    Rollup,
)
from metering.stated_models import (  # noqa: E402, F401
    AllocationFailure,
    AllocationRule,
    Correction,
    Event,
)
from metering.watch_models import HostNotice  # noqa: E402, F401
