"""What the installation's owner sees of a tenant: figures, and nothing by name."""

from typing import ClassVar

from django.db import models

from tenants.models import TenantOwned


class TenantUsage(TenantOwned):
    """A tenant's figures of one day (UTC), as last counted on it.

    Counted inside the tenant and readable from the installation's scope
    (docs/decisions/0046-the-installations-owner-sees-figures.md).
    """

    day = models.DateField()
    counted_at = models.DateTimeField()
    hosts = models.PositiveIntegerField(help_text="In service.")
    late_hosts = models.PositiveIntegerField(help_text="Silent for longer than its policy allows.")
    applications = models.PositiveIntegerField()
    samples = models.PositiveBigIntegerField(
        help_text="Stored since the counting began, deleted ones included."
    )
    samples_per_minute = models.PositiveBigIntegerField(
        help_text="On average since the count before."
    )
    storage_bytes = models.PositiveBigIntegerField(
        help_text="Estimated: its samples by what a sample takes in this database."
    )
    last_batch_at = models.DateTimeField(null=True)
    waiting_buckets = models.PositiveIntegerField(help_text="To be rolled up; 10,000 at most.")
    open_jobs = models.PositiveIntegerField(help_text="Parts of billing runs still to be done.")

    class Meta:
        ordering = ["-day"]
        verbose_name = "usage of a tenant"
        verbose_name_plural = "usage of tenants"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "day"], name="tenant_usage_once_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day}"
