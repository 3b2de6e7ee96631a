"""What was done, by whom and from where, and when staff looked through a customer's eyes."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from tenants.models import Customer, TenantOwned, User


class Impersonation(TenantOwned):
    """A person of the operator's reads a customer's pages as that customer does; without a
    customer, the installation's owner reads a tenant's admin. It ends by itself."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, db_constraint=False, related_name="+"
    )
    reason = models.CharField(max_length=300)
    may_change = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="At the latest.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("started_at")), name="impersonation_lasts"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="impersonation_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.reason}"

    def is_running(self, as_of: datetime) -> bool:
        return self.ended_at is None and as_of < self.ends_at


class AuditEntry(TenantOwned):
    """One thing that was done. Rows are only ever added; the database refuses the rest.

    Names are kept as they were: an entry says the same after what it names is gone.
    """

    occurred_at = models.DateTimeField()
    action = models.CharField(max_length=40, help_text="A key of tenants.audit.ACTIONS.")
    actor = models.CharField(
        max_length=254, blank=True, help_text="E-mail; of a program its API key's name."
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, db_constraint=False, related_name="+"
    )
    subject = models.CharField(max_length=200, blank=True, help_text="What it was done to.")
    reason = models.CharField(max_length=300, blank=True)
    details = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    impersonation = models.ForeignKey(
        Impersonation, on_delete=models.PROTECT, null=True, db_constraint=False, related_name="+"
    )

    class Meta:
        ordering = ["-occurred_at", "-id"]
        verbose_name_plural = "audit log"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-occurred_at", "-id"], name="audit_entry_newest"),
            models.Index(
                fields=["tenant", "customer", "-occurred_at", "-id"],
                name="audit_entry_of_customer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}".strip()
