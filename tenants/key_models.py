"""A program's access to the API, and the answers that are kept for its repeats."""

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models import Customer, TenantOwned
from tenants.scopes import CUSTOMER_SCOPES


class ApiKey(TenantOwned):
    """A program's access to the API. Only its hash is stored; `prefix` is shown, to know it by.

    A key with a customer sees that customer's data alone, and changes nothing.
    """

    name = models.CharField(max_length=120)
    digest = models.BinaryField(max_length=32, editable=False)
    prefix = models.CharField(max_length=12, editable=False, default="")
    scopes = ArrayField(models.CharField(max_length=32), default=list, size=50)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_from = models.GenericIPAddressField(null=True, editable=False)
    minutes_used = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="In how many minutes it was used."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "API key"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="api_key_digest"),
            models.CheckConstraint(
                condition=Q(customer__isnull=True) | Q(scopes__contained_by=list(CUSTOMER_SCOPES)),
                name="api_key_of_a_customer_reads",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_usable(self, as_of: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or as_of < self.expires_at)


class IdempotencyRecord(TenantOwned):
    """The answer to a request that named itself with an Idempotency-Key, kept in the transaction
    of its effect: the same request again gets the same answer and has no effect."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, db_constraint=False)
    key = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=200, help_text="POST and the path.")
    body_digest = models.BinaryField(max_length=32, help_text="SHA-256 of the request's body.")
    status = models.PositiveSmallIntegerField()
    body = models.TextField(help_text="Of the answer, JSON.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["tenant", "created_at"], name="idempotency_record_age"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "api_key", "key"], name="idempotency_key_once"
            ),
        ]

    def __str__(self) -> str:
        return self.key
