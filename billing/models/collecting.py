"""Collecting what is owed through a payment processor: who pays how, each attempt, and its word."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.core.collecting import OPEN, idempotency_key
from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from billing.models.invoices import Invoice
from billing.models.payments import Payment
from tenants.models import Customer, TenantOwned

_OPEN = sorted(OPEN)


class ProcessorAccount(TenantOwned):
    """A tenant's own account at Stripe. Without one the installation's is used. Both secrets are
    sealed (tenants.sealing)."""

    sealed_secret_key = models.TextField(editable=False)
    sealed_webhook_secret = models.TextField(editable=False, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "Stripe account"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant"], name="processor_account_once"),
        ]

    def __str__(self) -> str:
        return "Stripe account"


class PayingCustomer(TenantOwned):
    """Whom the processor knows a customer as."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    processor_id = models.CharField(max_length=255)
    method_id = models.CharField(
        max_length=255, blank=True, help_text="What invoices are paid with by themselves."
    )
    method_label = models.CharField(max_length=80, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "customer"], name="paying_customer_once"),
        ]

    def __str__(self) -> str:
        return self.processor_id


class AttemptQuerySet(models.QuerySet["PaymentAttempt"]):
    def open(self) -> "AttemptQuerySet":
        return self.filter(state__in=_OPEN)

    def in_doubt(self) -> "AttemptQuerySet":
        """Of which nobody knows yet whether money moved."""
        return self.filter(state="unknown")


class PaymentAttempt(TenantOwned):
    """One attempt to collect what is open of an invoice. core/collecting.py says which state
    follows which; a trigger holds it, and keeps what was asked for as it is.

    It is stored before the processor is asked, and an invoice has one open attempt at most.
    """

    class State(models.TextChoices):
        CREATED = "created"
        SUBMITTED = "submitted"
        REQUIRES_ACTION = "requires_action", "Requires action"
        UNKNOWN = "unknown"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    class Way(models.TextChoices):
        OFF_SESSION = "off_session", "By itself"
        SAVED = "saved", "By the customer, with a saved method"
        CHECKOUT = "checkout", "By the customer, on the payment page"

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="attempts"
    )
    number = models.PositiveSmallIntegerField()
    way = models.CharField(max_length=12, choices=Way.choices)
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    currency = models.CharField(max_length=3)
    method_id = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CREATED)
    intent_id = models.CharField(max_length=255, blank=True)
    session_id = models.CharField(max_length=255, blank=True)
    hand_over_url = models.URLField(
        max_length=2_000, blank=True, help_text="Where the customer confirms it."
    )
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "number"], name="payment_attempt_number"
            ),
            models.UniqueConstraint(
                fields=["tenant", "invoice"],
                condition=Q(state__in=_OPEN),
                name="payment_attempt_one_open",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_attempt_of_something"),
            models.CheckConstraint(
                condition=Q(state__in=_OPEN, ended_at__isnull=True)
                | (~Q(state__in=_OPEN) & Q(ended_at__isnull=False)),
                name="payment_attempt_ends_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "intent_id"], name="payment_attempt_intent"),
            models.Index(
                fields=["tenant", "state", "checked_at"],
                condition=Q(state__in=_OPEN),
                name="payment_attempt_open",
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.invoice.reference}"

    @property
    def key(self) -> str:
        return idempotency_key(self.invoice_id, self.number)

    @property
    def is_open(self) -> bool:
        return self.state in _OPEN


class Refund(TenantOwned):
    """Money given back of a payment, for a credit note. Stored before the processor is asked; the
    credit that it pays out is taken then, and comes back where it fails."""

    class State(models.TextChoices):
        CREATED = "created"
        SUBMITTED = "submitted"
        UNKNOWN = "unknown"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, db_constraint=False, related_name="refunds"
    )
    note = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, db_constraint=False, related_name="refunds"
    )
    number = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CREATED)
    refund_id = models.CharField(max_length=255, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    author = models.CharField(max_length=254)
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "note", "number"], name="refund_number"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_of_something"),
        ]

    def __str__(self) -> str:
        return f"refund {self.number} of {self.note.reference}"

    @property
    def key(self) -> str:
        return f"hostmeter-refund-{self.note_id}-{self.number}"


class ProcessorEvent(TenantOwned):
    """A webhook as the processor signed it, stored before anything is done about it. Its body never
    changes; the same event again is the same row."""

    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    body = models.TextField()
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-received_at"]
        verbose_name = "event from Stripe"
        verbose_name_plural = "events from Stripe"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "event_id"], name="processor_event_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "received_at"],
                condition=Q(handled_at__isnull=True),
                name="processor_event_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"
