"""The outbox of e-mails: one row a message and recipient."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models import TenantOwned


class MailMessage(TenantOwned):
    """An e-mail to one recipient, written in the transaction of its cause. What it says is written
    from `context` when it is sent.

    Of one kind, key and recipient there is one message, however often it is asked for.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=200, help_text="What it is about: once to each recipient.")
    recipient = models.CharField(max_length=254)
    language = models.CharField(max_length=8)
    time_zone = models.CharField(max_length=64)
    context = models.JSONField()
    sealed_context = models.TextField(
        blank=True, editable=False, help_text="A secret in it, until it is sent or given up."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(
        null=True, help_text="While an attempt is at work: when another may take over."
    )
    subject = models.CharField(max_length=300, blank=True, help_text="As it was sent.")
    error = models.CharField(max_length=300, blank=True, help_text="Of the last attempt.")
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, help_text="When it was sent, or given up.")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = "e-mail"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "key", "recipient"], name="mail_message_once"
            ),
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False, settled_at__isnull=True)
                | Q(
                    state__in=["sent", "failed"],
                    next_attempt_at__isnull=True,
                    settled_at__isnull=False,
                ),
                name="mail_message_waits_or_is_settled",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "next_attempt_at"],
                condition=Q(state="pending"),
                name="mail_message_due",
            ),
            models.Index(fields=["tenant", "created_at"], name="mail_message_age"),
        ]

    def __str__(self) -> str:
        return self.subject or f"{self.kind} to {self.recipient}"
