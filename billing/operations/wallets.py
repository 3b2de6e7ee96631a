"""Prepaid wallets: what they pay, and how they are topped up. The balance stands in the ledger."""

from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from billing.core.currencies import currency_of
from billing.core.entries import moved
from billing.core.exact import ZERO, plain
from billing.core.ledger import EntryKind
from billing.core.money import round_amount
from billing.models import Invoice, TopUp, Wallet
from billing.operations.journal import event, lock_customer, post
from billing.queries.credit import wallet_balance
from tenants.models import Customer
from tenants.refusals import constraint_of


class TopUpSettled(Exception):
    """The top-up has failed, or was paid, before."""


class WalletExists(Exception):
    """The customer has a wallet in this currency."""


class TopUpAmountNotUsable(ValueError):
    """It is no amount of the wallet's currency above zero."""


def open_wallet(
    customer: Customer,
    currency: str,
    *,
    threshold: Decimal,
    top_up_amount: Decimal,
    enabled: bool,
    as_of: datetime,
) -> Wallet:
    """A wallet that asks for `top_up_amount` whenever its balance is below `threshold`.

    Raises WalletExists and TopUpAmountNotUsable.
    """
    _require_amount(top_up_amount, currency)
    try:
        with transaction.atomic():
            wallet = Wallet.objects.create(
                customer=customer,
                currency=currency,
                threshold=threshold,
                top_up_amount=top_up_amount,
                enabled=enabled,
            )
    except IntegrityError as error:
        if constraint_of(error) == "wallet_once_a_currency":
            raise WalletExists(f"{customer} has a wallet in {currency}") from error
        raise
    request_top_up(wallet, as_of=as_of)
    return wallet


def change_wallet(
    wallet: Wallet,
    *,
    threshold: Decimal | None = None,
    top_up_amount: Decimal | None = None,
    enabled: bool | None = None,
    as_of: datetime,
) -> Wallet:
    """Change what is given; a request that is open keeps its amount. Raises
    TopUpAmountNotUsable."""
    if top_up_amount is not None:
        _require_amount(top_up_amount, wallet.currency)
    with transaction.atomic():
        lock_customer(wallet.customer_id)
        locked = Wallet.objects.get(pk=wallet.pk)
        locked.threshold = locked.threshold if threshold is None else threshold
        locked.top_up_amount = locked.top_up_amount if top_up_amount is None else top_up_amount
        locked.enabled = locked.enabled if enabled is None else enabled
        locked.save(update_fields=["threshold", "top_up_amount", "enabled"])
        request_top_up(locked, as_of=as_of)
        return locked


def top_up_wallet(wallet: Wallet, amount: Decimal, *, as_of: datetime) -> TopUp:
    """Put money into the wallet that came without being asked for; an open request stays. Each
    call is money of its own. Raises TopUpAmountNotUsable."""
    _require_amount(amount, wallet.currency)
    with transaction.atomic():
        lock_customer(wallet.customer_id)
        top_up = TopUp.objects.create(
            wallet=wallet,
            amount=amount,
            state=TopUp.State.PAID,
            requested_at=as_of,
            settled_at=as_of,
        )
        _post(top_up, as_of)
        return top_up


def _require_amount(amount: Decimal, currency: str) -> None:
    if amount <= ZERO or round_amount(amount, currency_of(currency)) != amount:
        raise TopUpAmountNotUsable(f"{plain(amount)} {currency} is no amount that can be paid")


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
        _post(locked, as_of)
        request_top_up(locked.wallet, as_of=as_of)
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


def _post(top_up: TopUp, as_of: datetime) -> None:
    wallet = top_up.wallet
    happened = event(wallet.customer_id, wallet.currency, as_of, "Wallet topped up")
    post(moved(EntryKind.TOP_UP, happened, top_up.amount), top_up.pk)


def _settle(top_up: TopUp, state: TopUp.State, as_of: datetime) -> None:
    top_up.state, top_up.settled_at = state, as_of
    top_up.save(update_fields=["state", "settled_at", "reason"])
