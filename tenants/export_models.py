"""Asking for all of a tenant's data as one archive."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from tenants.models import TenantOwned


class TenantExport(TenantOwned):
    """An archive of everything that a tenant has here, while it is made and while it is kept."""

    asked_by = models.EmailField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    parts = models.PositiveIntegerField(default=0, help_text="Tables and documents.")
    parts_done = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True, help_text="Of the last attempt.")
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "export of everything"
        verbose_name_plural = "exports of everything"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(finished_at__isnull=True),
                name="tenant_export_one_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"Export of {self.created_at:%Y-%m-%d %H:%M} UTC"
