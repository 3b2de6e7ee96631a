"""Granting, spending, returning and ending credit."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from billing.core.credit import Application, Charge, Grant, apply_grants, give_back, gross_of
from billing.core.currencies import Currency, currency_of
from billing.core.entries import Event, moved
from billing.core.exact import EXACT, ZERO, plain
from billing.core.ledger import EntryKind
from billing.core.money import round_amount, sum_amounts
from billing.models import CreditGrant, CreditMovement, Invoice
from billing.operations.journal import event, lock_customer, post
from billing.operations.wallets import pay_from_wallet, return_to_wallet
from billing.price_codes import require_price_codes
from billing.queries.credit import credit_applied_to, grants_left, wallet_still_applied_to, with_use
from tenants.models import Customer

_ENTRIES: Final = {
    CreditMovement.Kind.APPLIED: EntryKind.CREDIT_APPLIED,
    CreditMovement.Kind.RETURNED: EntryKind.CREDIT_RETURNED,
    CreditMovement.Kind.LAPSED: EntryKind.CREDIT_LAPSED,
    CreditMovement.Kind.VOIDED: EntryKind.CREDIT_VOIDED,
    CreditMovement.Kind.REFUNDED: EntryKind.REFUNDED,
    CreditMovement.Kind.REFUND_FAILED: EntryKind.REFUND_FAILED,
}


class CreditNotGrantable(ValueError):
    """The amount cannot be paid in its currency, or the credit would have expired already."""


class CreditNotLeft(Exception):
    """So much of the credit is not left that it could be paid out."""


class GrantVoided(Exception):
    """The grant was voided before."""


@dataclass(frozen=True, slots=True)
class NewGrant:
    """Credit to grant. Without price codes it pays whole invoices."""

    customer: Customer
    kind: str
    currency: str
    amount: Decimal
    priority: int = 50
    price_codes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CreditApplied:
    """What an invoice was paid with on finalizing."""

    grants: Decimal
    wallet: Decimal

    @property
    def total(self) -> Decimal:
        return sum_amounts([self.grants, self.wallet])


def grant_credit(new: NewGrant, *, as_of: datetime) -> CreditGrant:
    """Give a customer credit. Raises CreditNotGrantable, UnknownPriceCode and UnknownCurrency."""
    require_payable(new.amount, currency_of(new.currency))
    require_price_codes(new.price_codes)
    if new.expires_at is not None and new.expires_at <= as_of:
        raise CreditNotGrantable("it would have expired already; give it a later expiry or none")
    with transaction.atomic():
        grant = CreditGrant.objects.create(
            customer=new.customer,
            kind=new.kind,
            currency=new.currency,
            amount=new.amount,
            priority=new.priority,
            price_codes=sorted(set(new.price_codes)),
            expires_at=new.expires_at,
            note=new.note,
            granted_at=as_of,
        )
        entry = moved(
            EntryKind.CREDIT_GRANTED,
            _event(grant, as_of, str(grant)),
            grant.amount,
            promotional=grant.is_promotional,
        )
        post(entry, grant.pk, grant=grant)
        return grant


def require_payable(amount: Decimal, currency: Currency) -> None:
    """Raises CreditNotGrantable for what is not a whole number of minor units above zero."""
    if amount <= 0:
        raise CreditNotGrantable(f"the amount must be above zero, not {plain(amount)}")
    if round_amount(amount, currency) != amount:
        raise CreditNotGrantable(
            f"{plain(amount)} {currency.code} cannot be paid: "
            f"{currency.code} has {currency.decimals} decimals"
        )


def void_grant(grant: CreditGrant, reason: str, *, as_of: datetime) -> CreditGrant:
    """Take back what is left of a grant: nothing more is paid from it. Raises GrantVoided."""
    with transaction.atomic():
        lock_customer(grant.customer_id)
        locked = CreditGrant.objects.select_for_update(of=("self",)).get(pk=grant.pk)
        if locked.voided_at is not None:
            raise GrantVoided(f"it was voided on {locked.voided_at:%Y-%m-%d}: {locked.void_reason}")
        _end(locked, CreditMovement.Kind.VOIDED, as_of, f"{locked} voided: {reason}")
        locked.voided_at, locked.void_reason = as_of, reason
        locked.save(update_fields=["voided_at", "void_reason"])
        return locked


def expire_credit(*, as_of: datetime) -> int:
    """Let lapse what is left of the tenant's grants that have expired; how many lapsed."""
    ended = CreditGrant.objects.filter(expires_at__lte=as_of, voided_at__isnull=True)
    expired = with_use(ended).filter(amount__gt=F("used"))
    return sum(_lapse(grant, as_of) for grant in expired.order_by("expires_at", "pk"))


def apply_credit(invoice: Invoice, *, as_of: datetime) -> CreditApplied:
    """Pay what can be paid of an invoice or debit note that is being finalized: from the
    customer's grants in their order, then from the wallet. Sets and saves `credit_applied`.

    Call it once tax and total are final and before the invoice is issued. Called again it changes
    nothing and says what was applied. A credit note, and what comes to nothing, needs no credit.
    """
    with transaction.atomic():
        lock_customer(invoice.customer_id)
        applied = CreditApplied(*credit_applied_to(invoice))
        if not applied.total and invoice.kind != Invoice.Kind.CREDIT_NOTE and invoice.gross > 0:
            applied = _pay(invoice, as_of)
        if invoice.credit_applied != applied.total:
            invoice.credit_applied = applied.total
            invoice.save(update_fields=["credit_applied"])
        return applied


def return_credit(invoice: Invoice, note: Invoice, amount: Decimal, *, as_of: datetime) -> Decimal:
    """Give back, of what grants and wallet paid of the invoice, up to `amount` that a credit note
    takes off: what paid last first. Returns how much that was."""
    from_wallet = min(amount, wallet_still_applied_to(invoice))
    if from_wallet > 0:
        return_to_wallet(invoice, note, from_wallet, as_of=as_of)
        amount = EXACT.subtract(amount, from_wallet)
    returned = give_back(_still_applied(invoice), amount)
    for each in returned:
        grant = CreditGrant.objects.get(pk=UUID(each.grant))
        _move(
            CreditMovement(
                grant=grant,
                kind=CreditMovement.Kind.RETURNED,
                invoice=invoice,
                note=note,
                amount=EXACT.minus(each.amount),
                occurred_at=as_of,
            ),
            _event(grant, as_of, f"{note} returns credit to {invoice}"),
        )
    return sum_amounts([from_wallet, *(each.amount for each in returned)])


def take_refund(note: Invoice, amount: Decimal, *, as_of: datetime) -> None:
    """Take what is to be refunded out of the credit that the note left to the customer. Raises
    CreditNotLeft."""
    grant = CreditGrant.objects.filter(source_id=note.pk, voided_at__isnull=True).first()
    left = grants_left([grant])[0][1] if grant else ZERO
    if grant is None or left < amount:
        raise CreditNotLeft(
            f"{plain(left)} {note.currency} of {note} is left; the rest was taken off its invoice "
            "or has paid others"
        )
    _refund_movement(grant, note, amount, CreditMovement.Kind.REFUNDED, as_of)


def give_refund_back(note: Invoice, amount: Decimal, *, as_of: datetime) -> None:
    """What could not be refunded is the customer's credit again."""
    grant = CreditGrant.objects.get(source_id=note.pk)
    kind = CreditMovement.Kind.REFUND_FAILED
    _refund_movement(grant, note, EXACT.minus(amount), kind, as_of)


def _refund_movement(
    grant: CreditGrant, note: Invoice, amount: Decimal, kind: str, as_of: datetime
) -> None:
    movement = CreditMovement(grant=grant, kind=kind, note=note, amount=amount, occurred_at=as_of)
    words = "refunded" if amount > 0 else "not refunded after all"
    _move(movement, _event(grant, as_of, f"{note}: {words}"))


def keep_surplus(
    invoice: Invoice, source_id: UUID, amount: Decimal, *, as_of: datetime, note: str
) -> CreditGrant:
    """What was paid or credited beyond what was open becomes the customer's paid credit."""
    grant, _ = CreditGrant.objects.get_or_create(
        source_id=source_id,
        defaults={
            "customer_id": invoice.customer_id,
            "kind": CreditGrant.Kind.PAID,
            "currency": invoice.currency,
            "amount": amount,
            "note": note,
            "granted_at": as_of,
        },
    )
    entry = moved(EntryKind.SURPLUS, _event(grant, as_of, note), grant.amount)
    post(entry, source_id, invoice=invoice, grant=grant)
    return grant


def _pay(invoice: Invoice, as_of: datetime) -> CreditApplied:
    usable = CreditGrant.objects.filter(
        customer=invoice.customer_id, currency=invoice.currency, voided_at__isnull=True
    )
    left = grants_left(usable)
    grants = {str(grant.pk): grant for grant, _ in left}
    applications = apply_grants(
        [_grant(grant, amount) for grant, amount in left],
        _charges(invoice) if any(grant.price_codes for grant in grants.values()) else (),
        payable=invoice.gross,
        currency=currency_of(invoice.currency),
        as_of=as_of,
    )
    for position, each in enumerate(applications, start=1):
        grant = grants[each.grant]
        _move(
            CreditMovement(
                grant=grant,
                kind=CreditMovement.Kind.APPLIED,
                invoice=invoice,
                position=position,
                amount=each.amount,
                occurred_at=as_of,
            ),
            _event(grant, as_of, f"{grant} pays {invoice}"),
        )
    granted = sum_amounts([each.amount for each in applications])
    still_payable = EXACT.subtract(invoice.gross, granted)
    return CreditApplied(granted, pay_from_wallet(invoice, still_payable, as_of=as_of))


def _grant(grant: CreditGrant, left: Decimal) -> Grant:
    return Grant(
        id=str(grant.pk),
        left=left,
        priority=grant.priority,
        promotional=grant.is_promotional,
        expires_at=grant.expires_at,
        granted_at=grant.granted_at,
        scope=frozenset(grant.price_codes),
    )


def _charges(invoice: Invoice) -> list[Charge]:
    return [
        Charge(
            line.price.code if line.price else "",
            gross_of(line.amount, line.tax_percent, tax_inclusive=invoice.tax_inclusive),
        )
        for line in invoice.lines.select_related("price").order_by("position")
    ]


def _still_applied(invoice: Invoice) -> list[Application]:
    """What each grant paid of the invoice and has not got back, in the order in which they did."""
    found: dict[str, Decimal] = {}
    for movement in invoice.credit_movements.order_by("kind", "position", "occurred_at"):
        grant = str(movement.grant_id)
        found[grant] = EXACT.add(found.get(grant, ZERO), movement.amount)
    return [Application(grant, amount) for grant, amount in found.items()]


def _lapse(grant: CreditGrant, as_of: datetime) -> bool:
    with transaction.atomic():
        lock_customer(grant.customer_id)
        return _end(grant, CreditMovement.Kind.LAPSED, as_of, f"{grant} lapsed")


def _end(grant: CreditGrant, kind: CreditMovement.Kind, as_of: datetime, why: str) -> bool:
    """Move all that is left out of the grant; whether there was anything."""
    ((_, left),) = grants_left([grant])
    if left:
        movement = CreditMovement(grant=grant, kind=kind, amount=left, occurred_at=as_of)
        _move(movement, _event(grant, as_of, why))
    return bool(left)


def _move(movement: CreditMovement, happened: Event) -> None:
    movement.save(force_insert=True)
    entry = moved(
        _ENTRIES[CreditMovement.Kind(movement.kind)],
        happened,
        movement.amount.copy_abs(),
        promotional=movement.grant.is_promotional,
    )
    post(entry, movement.pk, invoice=movement.invoice, grant=movement.grant)


def _event(grant: CreditGrant, as_of: datetime, description: str) -> Event:
    return event(grant.customer_id, grant.currency, as_of, description)
