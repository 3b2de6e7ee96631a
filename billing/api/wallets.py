"""Wallets: what customers pay ahead, and how it is topped up."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.customers import visible_customer
from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.models import TopUp, Wallet
from billing.operations import (
    TopUpAmountNotUsable,
    TopUpSettled,
    WalletExists,
    change_wallet,
    open_wallet,
    record_top_up_failed,
    record_top_up_paid,
    top_up_wallet,
)
from billing.queries.credit import wallet_balance
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Taken, example, one_of
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

wallets = Resources()

Amount = Annotated[Decimal, DecimalText(18, 4)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]


class WalletIn(Taken):
    """While its balance is below `threshold` it asks for `top_up_amount`."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "currency": "EUR",
            "threshold": "5",
            "top_up_amount": "20",
        }
    )

    customer_id: UUID
    currency: CurrencyCode
    threshold: Amount = Decimal(0)
    top_up_amount: Amount
    enabled: bool = True


class WalletChange(Taken):
    """What is left out stays as it is."""

    model_config = example({"threshold": "10", "enabled": True})

    threshold: Amount | None = None
    top_up_amount: Amount | None = None
    enabled: bool | None = None


class TopUpIn(Taken):
    """Money that came without being asked for."""

    model_config = example({"amount": "20"})

    amount: Amount


class TopUpFailure(Taken):
    model_config = example({"reason": "The card was declined."})

    reason: Reason


class TopUpOut(Given):
    """Asked for by the wallet, or brought; `settled_at` is when it was paid or failed, `reason` why
    it failed."""

    id: UUID
    wallet_id: UUID
    amount: Exact
    state: Annotated[str, one_of(TopUp.State)]
    requested_at: Instant
    settled_at: Instant | None
    reason: str


class WalletOut(Given):
    """`balance` is what the ledger says; `asks_for` the top-up that is waited for. A top-up that
    fails disables the wallet: it asks for no more, and what it holds still pays invoices."""

    id: UUID
    customer_id: UUID
    currency: str
    balance: Exact
    threshold: Exact
    top_up_amount: Exact
    enabled: bool
    asks_for: TopUpOut | None


class WalletFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None


@wallets.reading("/wallets", scope="credit:read", answers=Page[WalletOut], summary="List wallets")
def list_wallets(request: ApiRequest, filters: Query[WalletFilters]) -> Page[WalletOut]:
    rows = Wallet.objects.filter(request.caller.own("customer")).select_related("customer")
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    return page_of(rows, filters, _shown, by="currency")


@wallets.creating(
    "/wallets", scope="credit:write", answers=WalletOut, summary="Open a wallet for a customer"
)
def create_wallet(request: ApiRequest, wallet: WalletIn) -> WalletOut:
    customer = visible_customer(request.caller, wallet.customer_id)
    with _refusals("top_up_amount"):
        opened = open_wallet(
            customer,
            wallet.currency,
            threshold=wallet.threshold,
            top_up_amount=wallet.top_up_amount,
            enabled=wallet.enabled,
            as_of=request.as_of,
        )
    return _shown(opened)


@wallets.reading(
    "/wallets/{uuid:wallet_id}", scope="credit:read", answers=WalletOut, summary="Read a wallet"
)
def get_wallet(request: ApiRequest, wallet_id: UUID) -> WalletOut:
    return _shown(_visible(request.caller, wallet_id))


@wallets.changing(
    "/wallets/{uuid:wallet_id}",
    scope="credit:write",
    answers=WalletOut,
    summary="Change when a wallet is topped up, and by how much",
)
def update_wallet(request: ApiRequest, wallet_id: UUID, change: WalletChange) -> WalletOut:
    wallet = _visible(request.caller, wallet_id)
    with _refusals("top_up_amount"):
        changed = change_wallet(
            wallet,
            threshold=change.threshold,
            top_up_amount=change.top_up_amount,
            enabled=change.enabled,
            as_of=request.as_of,
        )
    return _shown(changed)


@wallets.reading(
    "/wallets/{uuid:wallet_id}/top-ups",
    scope="credit:read",
    answers=Page[TopUpOut],
    summary="List a wallet's top-ups",
)
def list_top_ups(request: ApiRequest, wallet_id: UUID, filters: Query[Paging]) -> Page[TopUpOut]:
    rows = _visible(request.caller, wallet_id).top_ups.all()
    return page_of(rows, filters, _shown_top_up, by="requested_at", newest_first=True)


@wallets.creating(
    "/wallets/{uuid:wallet_id}/top-ups",
    scope="credit:write",
    answers=TopUpOut,
    summary="Record money that was paid into a wallet without being asked for",
)
def create_top_up(request: ApiRequest, wallet_id: UUID, top_up: TopUpIn) -> TopUpOut:
    wallet = _visible(request.caller, wallet_id)
    with _refusals("amount"):
        return _shown_top_up(top_up_wallet(wallet, top_up.amount, as_of=request.as_of))


@wallets.reading(
    "/top-ups/{uuid:top_up_id}",
    scope="credit:read",
    answers=TopUpOut,
    summary="Read a top-up",
)
def get_top_up(request: ApiRequest, top_up_id: UUID) -> TopUpOut:
    return _shown_top_up(_visible_top_up(request.caller, top_up_id))


@wallets.acting(
    "/top-ups/{uuid:top_up_id}/paid",
    scope="credit:write",
    answers=TopUpOut,
    summary="Record that a top-up was paid: it is in the wallet",
)
def pay_top_up(request: ApiRequest, top_up_id: UUID) -> TopUpOut:
    top_up = _visible_top_up(request.caller, top_up_id)
    with _refusals("amount"):
        return _shown_top_up(record_top_up_paid(top_up, as_of=request.as_of))


@wallets.acting(
    "/top-ups/{uuid:top_up_id}/failed",
    scope="credit:write",
    answers=TopUpOut,
    summary="Record that a top-up failed: the wallet asks for no more",
)
def fail_top_up(request: ApiRequest, top_up_id: UUID, failure: TopUpFailure) -> TopUpOut:
    top_up = _visible_top_up(request.caller, top_up_id)
    with _refusals("amount"):
        failed = record_top_up_failed(top_up, failure.reason, as_of=request.as_of)
    return _shown_top_up(failed)


@contextmanager
def _refusals(amount: str) -> Iterator[None]:
    """Raises Problem; `amount` is the field that holds the amount to be paid."""
    try:
        yield
    except TopUpAmountNotUsable as refusal:
        raise unprocessable((amount, str(refusal))) from refusal
    except WalletExists as refusal:
        raise conflict("wallet-exists", f"{refusal}.") from refusal
    except TopUpSettled as refusal:
        raise conflict("top-up-settled", f"{refusal}.") from refusal


def _visible(caller: Caller, wallet_id: UUID) -> Wallet:
    found = Wallet.objects.filter(caller.own("customer"), pk=wallet_id).first()
    if found is None:
        raise not_found("wallet")
    return found


def _visible_top_up(caller: Caller, top_up_id: UUID) -> TopUp:
    rows = TopUp.objects.filter(caller.own("wallet__customer"), pk=top_up_id)
    found = rows.select_related("wallet").first()
    if found is None:
        raise not_found("top-up")
    return found


def _shown(wallet: Wallet) -> WalletOut:
    asked = wallet.top_ups.filter(state=TopUp.State.REQUESTED).first()
    return WalletOut(
        id=wallet.pk,
        customer_id=wallet.customer_id,
        currency=wallet.currency,
        balance=wallet_balance(wallet.customer, wallet.currency),
        threshold=wallet.threshold,
        top_up_amount=wallet.top_up_amount,
        enabled=wallet.enabled,
        asks_for=None if asked is None else _shown_top_up(asked),
    )


def _shown_top_up(top_up: TopUp) -> TopUpOut:
    return TopUpOut(
        id=top_up.pk,
        wallet_id=top_up.wallet_id,
        amount=top_up.amount,
        state=top_up.state,
        requested_at=top_up.requested_at,
        settled_at=top_up.settled_at,
        reason=top_up.reason,
    )
