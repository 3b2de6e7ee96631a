"""What customers have left of their credit, from its movements and the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.core.exact import EXACT, ZERO
from billing.core.ledger import Account, EntryKind
from billing.core.money import sum_amounts
from billing.models import CreditGrant, CreditMovement, Invoice, JournalEntry, Posting, Wallet
from tenants.models import Customer


def with_use(grants: "QuerySet[CreditGrant]") -> "QuerySet[CreditGrant]":
    """The grants, each with `used`: what its movements sum to."""
    used = (
        CreditMovement.objects.filter(grant=OuterRef("pk"))
        .order_by()
        .values("grant_id")
        .annotate(amount=Sum("amount"))
        .values("amount")
    )
    return grants.annotate(used=Coalesce(Subquery(used), ZERO))


def grants_left(grants: Iterable[CreditGrant]) -> list[tuple[CreditGrant, Decimal]]:
    """Each grant with what is left of it, in the order given; nothing is left of a voided one."""
    grants = list(grants)
    used: dict[UUID, Decimal] = dict(
        CreditMovement.objects.filter(grant__in=grants)
        .order_by()
        .values_list("grant_id")
        .annotate(Sum("amount"))
    )
    return [(grant, EXACT.subtract(grant.amount, used.get(grant.pk, ZERO))) for grant in grants]


def wallet_balance(customer: Customer, currency: str) -> Decimal:
    """What the customer's wallet in this currency holds, by the ledger alone."""
    posted = Posting.objects.filter(
        customer=customer, currency=currency, account=Account.WALLET
    ).aggregate(amount=Sum("amount"))["amount"]
    return ZERO if posted is None else EXACT.minus(Decimal(posted))


def with_balance(wallets: "QuerySet[Wallet]") -> "QuerySet[Wallet]":
    """Each with its `balance`, as wallet_balance has it."""
    posted = Posting.objects.filter(
        customer=OuterRef("customer"), currency=OuterRef("currency"), account=Account.WALLET
    )
    amount = posted.order_by().values("account").annotate(amount=Sum("amount")).values("amount")
    return wallets.annotate(balance=ZERO - Coalesce(Subquery(amount), ZERO))


@dataclass(frozen=True, slots=True)
class CreditLeft:
    """What a customer can still pay with in one currency before money is due."""

    currency: str
    granted: Decimal
    wallet: Decimal

    @property
    def total(self) -> Decimal:
        return sum_amounts([self.granted, self.wallet])


def credit_left(customer: Customer, *, as_of: datetime) -> list[CreditLeft]:
    """By currency, where there is any: grants that are good at `as_of`, and the wallet."""
    good = CreditGrant.objects.filter(customer=customer, voided_at__isnull=True).filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=as_of)
    )
    left = grants_left(good)
    wallets = set(Wallet.objects.filter(customer=customer).values_list("currency", flat=True))
    found = [
        CreditLeft(
            currency,
            sum_amounts([amount for grant, amount in left if grant.currency == currency]),
            wallet_balance(customer, currency) if currency in wallets else ZERO,
        )
        for currency in sorted({grant.currency for grant, _ in left} | wallets)
    ]
    return [each for each in found if each.total]


def credit_applied_to(invoice: Invoice) -> tuple[Decimal, Decimal]:
    """What grants and what the wallet paid of the invoice on finalizing."""
    granted = CreditMovement.objects.filter(
        invoice=invoice, kind=CreditMovement.Kind.APPLIED
    ).aggregate(amount=Sum("amount"))["amount"]
    return granted or ZERO, _wallet_moved(invoice, EntryKind.WALLET_APPLIED)


def wallet_still_applied_to(invoice: Invoice) -> Decimal:
    """What the wallet paid of the invoice, less what credit notes returned."""
    returned = _wallet_moved(invoice, EntryKind.WALLET_RETURNED)
    return sum_amounts([_wallet_moved(invoice, EntryKind.WALLET_APPLIED), returned])


def _wallet_moved(invoice: Invoice, kind: EntryKind) -> Decimal:
    entries = JournalEntry.objects.filter(invoice=invoice, kind=kind)
    moved = Posting.objects.filter(entry__in=entries, account=Account.WALLET).aggregate(
        amount=Sum("amount")
    )["amount"]
    return moved or ZERO
