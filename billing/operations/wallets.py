"""Prepaid wallets: what they pay, and how they are topped up. The balance stands in the ledger."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.core.entries import moved
from billing.core.exact import ZERO
from billing.core.ledger import EntryKind
from billing.models import Invoice, TopUp, Wallet
from billing.operations.journal import event, lock_customer, post
from billing.queries.credit import wallet_balance


class TopUpSettled(Exception):
    """The top-up has failed, or was paid, before."""


def pay_from_wallet(invoice: Invoice, payable: Decimal, *, as_of: datetime) -> Decimal:
    """Pay what the customer's wallet holds of an invoice; how much that was. The caller has locked
    the customer."""
    wallet = Wallet.objects.filter(customer=invoice.customer_id, currency=invoice.currency).first()
    if wallet is None:
        return ZERO
    paid = max(min(wallet_balance(invoice.customer, invoice.currency), payable), ZERO)
    happened = event(invoice.customer_id, invoice.currency, as_of, f"Wallet pays {invoice}")
    post(moved(EntryKind.WALLET_APPLIED, happened, paid), invoice.pk, invoice=invoice)
    request_top_up(wallet, as_of=as_of)
    return paid


def return_to_wallet(invoice: Invoice, note: Invoice, amount: Decimal, *, as_of: datetime) -> None:
    """Put back into the wallet what a credit note takes off an invoice that it paid."""
    happened = event(invoice.customer_id, invoice.currency, as_of, f"{note} returns to the wallet")
    post(moved(EntryKind.WALLET_RETURNED, happened, amount), note.pk, invoice=invoice)


def request_top_up(wallet: Wallet, *, as_of: datetime) -> TopUp | None:
    """The wallet's open request, made now if its balance is below the threshold and none is open;
    None where nothing is asked for."""
    with transaction.atomic():
        lock_customer(wallet.customer_id)
        current = Wallet.objects.get(pk=wallet.pk)
        requested = current.top_ups.filter(state=TopUp.State.REQUESTED).first()
        if requested is not None or not current.enabled:
            return requested
        if wallet_balance(current.customer, current.currency) >= current.threshold:
            return None
        return TopUp.objects.create(
            wallet=current, amount=current.top_up_amount, requested_at=as_of
        )


def record_top_up_paid(top_up: TopUp, *, as_of: datetime) -> TopUp:
    """The money has come: it is in the wallet. Recorded again it changes nothing.

    Raises TopUpSettled for one that has failed.
    """
    with transaction.atomic():
        locked = _locked(top_up)
        if locked.state == TopUp.State.FAILED:
            raise TopUpSettled(f"it failed on {locked.settled_at:%Y-%m-%d}; make a new one")
        if locked.state == TopUp.State.REQUESTED:
            _settle(locked, TopUp.State.PAID, as_of)
        wallet = locked.wallet
        happened = event(wallet.customer_id, wallet.currency, as_of, "Wallet topped up")
        post(moved(EntryKind.TOP_UP, happened, locked.amount), locked.pk)
        request_top_up(wallet, as_of=as_of)
        return locked


def record_top_up_failed(top_up: TopUp, reason: str, *, as_of: datetime) -> TopUp:
    """The money did not come: the wallet asks for no more until it is enabled again.

    Recorded again it changes nothing. Raises TopUpSettled for one that was paid.
    """
    with transaction.atomic():
        locked = _locked(top_up)
        if locked.state == TopUp.State.PAID:
            raise TopUpSettled(f"it was paid on {locked.settled_at:%Y-%m-%d}")
        if locked.state == TopUp.State.REQUESTED:
            locked.reason = reason
            _settle(locked, TopUp.State.FAILED, as_of)
            Wallet.objects.filter(pk=locked.wallet_id).update(enabled=False)
        return locked


def request_due_top_ups(*, as_of: datetime) -> int:
    """Look at every enabled wallet of the tenant that has no open request; how many asked."""
    waiting = TopUp.objects.filter(state=TopUp.State.REQUESTED).values("wallet_id")
    wallets = Wallet.objects.filter(enabled=True).exclude(pk__in=waiting).order_by("pk")
    return sum(request_top_up(wallet, as_of=as_of) is not None for wallet in wallets)


def _locked(top_up: TopUp) -> TopUp:
    lock_customer(top_up.wallet.customer_id)
    return TopUp.objects.select_related("wallet").get(pk=top_up.pk)


def _settle(top_up: TopUp, state: TopUp.State, as_of: datetime) -> None:
    top_up.state, top_up.settled_at = state, as_of
    top_up.save(update_fields=["state", "settled_at", "reason"])
