"""Usage that changed after a period's invoice was made."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from billing.models.invoices import Invoice
from metering.models import Application
from tenants.models import TenantOwned


class LateUsage(TenantOwned):
    """A mark: a roll-up of this hour changed while its period had an invoice, a draft or an issued
    one. A trigger on the rollups adds it, in the same statement, whatever the change came from.

    Marks are only added and deleted: finalizing and restating delete those that they see before
    they rate, so what changes meanwhile is found by the next one. What came later than the tenant
    accepts is kept as refused until it is accepted after all, or the period is rated again for
    another reason and bills it.
    """

    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="late_usage"
    )
    application = models.ForeignKey(
        Application,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        help_text="Empty: no usage changed, but an earlier period that this one goes on from.",
    )
    hour = models.DateTimeField(null=True)
    noted_at = models.DateTimeField(default=timezone.now)
    refused_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(
        null=True, help_text="When it was to be billed after all, though it came too late."
    )

    class Meta:
        verbose_name_plural = "late usage"
        ordering = ["invoice", "hour"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "invoice", "refused_at"], name="late_usage_of_invoice"),
        ]

    def __str__(self) -> str:
        if self.hour is None:
            return "An earlier period changed"
        return f"{self.application} at {self.hour:%Y-%m-%d %H:%M} UTC"
