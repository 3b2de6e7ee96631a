"""The journal: what happened in money, in double entry. Rows are only ever added."""

from typing import ClassVar, Final

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.core.ledger import Account, EntryKind
from billing.models.credit import CreditGrant
from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS, CURRENCY
from billing.models.invoices import Invoice
from tenants.models import Customer, TenantOwned

_KINDS: Final = [(kind.value, kind.value.replace("_", " ")) for kind in EntryKind]
_ACCOUNTS: Final = [(account.value, account.value.replace("_", " ")) for account in Account]


class JournalEntry(TenantOwned):
    """One thing that happened, once: `kind` says to what, `source_id` to which.

    The source is an invoice or note for issued, written off and paid from the wallet; a payment,
    a grant, a movement of a grant or a top-up for the others. A deferred trigger lets no entry be
    committed that has fewer than two postings or does not sum to zero in each currency.
    """

    kind = models.CharField(max_length=20, choices=_KINDS)
    source_id = models.UUIDField()
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    invoice = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="entries",
        help_text="Whose open amount it changes: of a credit note, the invoice that it corrects.",
    )
    grant = models.ForeignKey(
        CreditGrant,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="entries",
    )
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now, editable=False)
    description = models.CharField(max_length=200)

    class Meta:
        ordering = ["occurred_at", "recorded_at", "id"]
        verbose_name_plural = "journal entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "source_id"], name="journal_entry_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in EntryKind]),
                name="journal_entry_kind",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "occurred_at"], name="journal_entry_occurred"),
        ]

    def __str__(self) -> str:
        return self.description


class Posting(TenantOwned):
    """A signed amount on a customer's account: debits above zero, credits below."""

    entry = models.ForeignKey(
        JournalEntry, on_delete=models.PROTECT, db_constraint=False, related_name="postings"
    )
    position = models.PositiveSmallIntegerField()
    account = models.CharField(max_length=12, choices=_ACCOUNTS)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    currency = models.CharField(max_length=3, validators=[CURRENCY])
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)

    class Meta:
        ordering = ["entry", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "entry", "position"], name="posting_position"
            ),
            models.CheckConstraint(condition=~Q(amount=0), name="posting_of_something"),
            models.CheckConstraint(
                condition=Q(account__in=[each.value for each in Account]), name="posting_account"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["tenant", "customer", "currency"],
                condition=Q(account="wallet"),
                name="posting_of_wallet",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount} {self.currency}"
