"""Closing every period of a tenant that has ended: cut into shards that workers share."""

from typing import ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models import TenantOwned


class BillingRun(TenantOwned):
    """What was due at `as_of`. A run ends when all its shards are done; a tenant has one at a
    time, and what a run that was cut off left is done by whoever works on it next."""

    as_of = models.DateTimeField(help_text="Periods that have ended by then are closed.")
    subscriptions = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=Q(finished_at__isnull=True),
                name="billing_run_one_unfinished",
            ),
        ]

    @property
    def open_shards(self) -> int:
        return self.shards.filter(done_at=None).count()

    def __str__(self) -> str:
        return f"Run of {self.as_of:%Y-%m-%d %H:%M} UTC"


def no_subscriptions() -> list[UUID]:
    return []


class BillingShard(TenantOwned):
    """Some subscriptions of a run, closed in one transaction: all of it is done or nothing."""

    run = models.ForeignKey(
        BillingRun, on_delete=models.CASCADE, db_constraint=False, related_name="shards"
    )
    position = models.PositiveIntegerField()
    subscription_ids = ArrayField(models.UUIDField(), default=no_subscriptions)
    invoices = models.PositiveIntegerField(default=0, help_text="How many it drafted.")
    failures = models.JSONField(
        default=list, help_text="What was left as it was: [[customer's reference, reason], …]."
    )
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["run", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "run", "position"], name="billing_shard_position"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "run", "position"],
                condition=Q(done_at__isnull=True),
                name="billing_shard_open",
            ),
        ]

    def __str__(self) -> str:
        return f"shard {self.position} of {self.run}"
