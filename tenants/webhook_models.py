"""Whom a tenant's events are told to, and how the telling went."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models import Customer, TenantOwned
from tenants.outward import URL_LENGTH_MAX


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def kept(self) -> "WebhookEndpointQuerySet":
        """Those that were not removed."""
        return self.filter(removed_at__isnull=True)

    def enabled(self) -> "WebhookEndpointQuerySet":
        return self.kept().filter(disabled_at__isnull=True)


class WebhookEndpoint(TenantOwned):
    """An address that events are sent to. With a customer it is told that customer's alone."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    url = models.CharField("URL", max_length=URL_LENGTH_MAX)
    description = models.CharField(max_length=120, blank=True)
    event_types = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        size=50,
        help_text="None of them means all, those of later versions too.",
    )
    sealed_secret = models.TextField(editable=False)
    previous_sealed_secret = models.TextField(editable=False, blank=True)
    previous_secret_until = models.DateTimeField(
        null=True, editable=False, help_text="Messages are signed with the previous secret as well."
    )
    failing_since = models.DateTimeField(
        null=True, editable=False, help_text="The first failure since it last answered well."
    )
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_because = models.CharField(max_length=200, blank=True, editable=False)
    # Whoever writes to its outbox at that moment must not fail for it, so the row goes later.
    removed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(previous_sealed_secret="") | Q(previous_secret_until__isnull=False),
                name="webhook_previous_secret_ends",
            ),
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


class WebhookEvent(TenantOwned):
    """Something that happened, written in the transaction in which it did."""

    type = models.CharField(max_length=40)
    key = models.CharField(max_length=200, help_text="An event of one key is told once.")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, db_constraint=False)
    data = models.JSONField()
    occurred_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "key"], name="webhook_event_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "occurred_at"], name="webhook_event_age"),
        ]

    def __str__(self) -> str:
        return self.type


class WebhookDelivery(TenantOwned):
    """The telling of one event to one endpoint."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, db_constraint=False, related_name="deliveries"
    )
    event = models.ForeignKey(
        WebhookEvent, on_delete=models.CASCADE, db_constraint=False, related_name="deliveries"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    replayed_after = models.PositiveIntegerField(
        default=0, help_text="How many attempts were made before it was last asked for again."
    )
    next_attempt_at = models.DateTimeField(
        null=True, help_text="While an attempt is at work: when another may take over."
    )
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, help_text="When it was delivered, or given up.")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "endpoint", "event"], name="webhook_delivery_once"
            ),
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False, settled_at__isnull=True)
                | Q(state__in=["delivered", "failed"], next_attempt_at__isnull=True,
                    settled_at__isnull=False),
                name="webhook_delivery_waits_or_is_settled",
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "endpoint", "next_attempt_at"],
                condition=Q(state="pending"),
                name="webhook_delivery_due",
            ),
            models.Index(fields=["tenant", "created_at"], name="webhook_delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"


class WebhookAttempt(TenantOwned):
    """One request and what was answered; without a status no answer came, and `error` says why."""

    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, db_constraint=False, related_name="tries"
    )
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True, help_text="The first KB of the answer's body.")
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "delivery", "number"], name="webhook_attempt_once"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"
