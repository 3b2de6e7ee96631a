"""What customers have paid or been given ahead: credit grants and wallets."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS, CURRENCY
from billing.models.invoices import Invoice
from billing.price_codes import check_price_codes
from tenants.models import Customer, TenantOwned

PRICE_CODES_MAX = 100


class CreditGrant(TenantOwned):
    """An amount that pays a customer's invoices until it is spent, expires or is voided.

    What is left of it is the amount less its movements. Only voiding changes a grant.
    """

    class Kind(models.TextChoices):
        PAID = "paid"
        PROMOTIONAL = "promotional"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="credit_grants"
    )
    kind = models.CharField(max_length=12, choices=Kind.choices)
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    priority = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(999)],
        help_text="The lowest number is spent first.",
    )
    price_codes = ArrayField(
        models.CharField(max_length=120),
        default=list,
        blank=True,
        size=PRICE_CODES_MAX,
        help_text="The prices whose lines it pays; left empty, it pays whole invoices.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True, help_text="Why it was granted.")
    source_id = models.UUIDField(
        null=True,
        editable=False,
        help_text="The payment or document whose surplus it is; empty for what was granted.",
    )
    granted_at = models.DateTimeField(default=timezone.now, editable=False)
    voided_at = models.DateTimeField(null=True, editable=False)
    void_reason = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        ordering = ["customer", "-granted_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "source_id"], name="credit_grant_once_a_surplus"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_grant_of_something"),
            models.CheckConstraint(
                condition=Q(voided_at__isnull=True, void_reason="")
                | (Q(voided_at__isnull=False) & ~Q(void_reason="")),
                name="credit_grant_voided_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} credit of {self.amount.normalize():f} {self.currency}"

    def clean(self) -> None:
        super().clean()
        check_price_codes(self.price_codes)

    @property
    def is_promotional(self) -> bool:
        return self.kind == self.Kind.PROMOTIONAL


class CreditMovement(TenantOwned):
    """Part of a grant that was used; below zero where it came back. Rows are only ever added.

    A trigger refuses one that would leave less than nothing of its grant, or more than it was.
    """

    class Kind(models.TextChoices):
        APPLIED = "applied", "Applied to an invoice"
        RETURNED = "returned", "Returned by a credit note"
        LAPSED = "lapsed", "Lapsed with its expiry"
        VOIDED = "voided"
        REFUNDED = "refunded", "Refunded"
        REFUND_FAILED = "refund_failed", "Back from a refund that failed"

    grant = models.ForeignKey(
        CreditGrant, on_delete=models.PROTECT, db_constraint=False, related_name="movements"
    )
    kind = models.CharField(max_length=14, choices=Kind.choices)
    invoice = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="credit_movements",
        help_text="What it paid.",
    )
    note = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="+",
        help_text="The credit note that returned it, or for which it was refunded.",
    )
    position = models.PositiveSmallIntegerField(
        default=0, help_text="The order in which an invoice's grants paid."
    )
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["occurred_at", "position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "grant", "invoice"],
                condition=Q(kind="applied"),
                name="credit_applied_once",
            ),
            models.UniqueConstraint(
                fields=["tenant", "grant", "note"],
                condition=Q(kind="returned"),
                name="credit_returned_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="applied", invoice__isnull=False, note__isnull=True, amount__gt=0)
                | Q(kind="returned", invoice__isnull=False, note__isnull=False, amount__lt=0)
                | Q(
                    kind__in=["lapsed", "voided"],
                    invoice__isnull=True,
                    note__isnull=True,
                    amount__gt=0,
                )
                | Q(kind="refunded", invoice__isnull=True, note__isnull=False, amount__gt=0)
                | Q(kind="refund_failed", invoice__isnull=True, note__isnull=False, amount__lt=0),
                name="credit_movement_has_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.amount}"


class Wallet(TenantOwned):
    """A customer's prepaid balance in one currency. The balance stands in the ledger."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="wallets"
    )
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    threshold = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="A balance below it is topped up.",
    )
    top_up_amount = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        help_text="How much is asked for each time.",
    )
    enabled = models.BooleanField(
        default=True,
        help_text="Whether top-ups are asked for; one that fails switches it off. What the "
        "wallet holds pays invoices either way.",
    )

    class Meta:
        ordering = ["customer", "currency"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "customer", "currency"],
                name="wallet_once_a_currency",
                violation_error_message="The customer has a wallet in this currency.",
            ),
            models.CheckConstraint(
                condition=Q(threshold__gte=0, top_up_amount__gt=0), name="wallet_amounts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.currency}"


class TopUp(TenantOwned):
    """A wallet's request for money: open until it is paid or has failed."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        PAID = "paid"
        FAILED = "failed"

    wallet = models.ForeignKey(
        Wallet, on_delete=models.PROTECT, db_constraint=False, related_name="top_ups"
    )
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    state = models.CharField(max_length=9, choices=State.choices, default=State.REQUESTED)
    requested_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True, help_text="Why it failed.")

    class Meta:
        ordering = ["wallet", "-requested_at", "id"]
        verbose_name = "top-up"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "wallet"],
                condition=Q(state="requested"),
                name="top_up_requested_once",
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0)
                & (
                    Q(state="requested", settled_at__isnull=True)
                    | Q(state__in=["paid", "failed"], settled_at__isnull=False)
                ),
                name="top_up_has_its_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.wallet.currency}, {self.state}"
