"""What was noticed of hosts while nobody looked."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from tenants.models import TenantOwned


class HostNotice(TenantOwned):
    """A time in which something was amiss with a host, told once when it begins."""

    class Kind(models.TextChoices):
        SILENT = "silent"
        OUTDATED = "outdated"

    host = models.ForeignKey(
        "metering.Host", on_delete=models.CASCADE, db_constraint=False, related_name="notices"
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    since = models.DateTimeField(help_text="When the host was last seen; for others as noticed.")
    noticed_at = models.DateTimeField()
    over_at = models.DateTimeField(null=True, help_text="When it was noticed to be over.")

    class Meta:
        ordering = ["-noticed_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "host", "kind"],
                condition=Q(over_at__isnull=True),
                name="host_notice_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.host}: {self.kind}"
