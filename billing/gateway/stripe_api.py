"""Stripe's requests that we make, and its answers as values of ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import stripe
from stripe.params import (
    CustomerCreateParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    RefundCreateParams,
)
from stripe.params.checkout import SessionCreateParams

from billing.core.collecting import MinorAmount, Seen
from billing.gateway.account import Account
from billing.gateway.errors import Refused, told_apart

TIMEOUT_S: Final = 30
_PAGE: Final = 100
_LISTED_MAX: Final = 1_000
# What a payment's status says (Stripe: the life of a PaymentIntent).
_SEEN: Final = {
    "succeeded": Seen.PAID,
    "processing": Seen.IN_PROGRESS,
    "requires_action": Seen.AWAITS_CUSTOMER,
    "requires_capture": Seen.IN_PROGRESS,
    "requires_payment_method": Seen.DECLINED,
    "requires_confirmation": Seen.DECLINED,
    "canceled": Seen.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment as it stands. `key` is the attempt's that it was made for."""

    id: str
    seen: Seen
    received: int
    currency: str
    key: str
    hand_over_url: str = ""
    failure_code: str = ""
    failure_message: str = ""
    charge_id: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A page of Stripe's on which a customer pays or enters a card. `status` is open, complete or
    expired."""

    id: str
    status: str
    url: str
    intent_id: str
    setup_intent_id: str
    key: str


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """What can be charged: "visa •••• 4242", until 12/2030."""

    id: str
    kind: str
    brand: str
    last4: str
    expires: str


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """`status` is pending, requires_action, succeeded, failed or canceled."""

    id: str
    status: str
    key: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, as the processor is told."""

    customer_id: str
    method_id: str = ""


class Stripe:
    """One tenant's account. Raises GatewayError's kinds from every method."""

    def __init__(self, account: Account) -> None:
        self._client = stripe.StripeClient(
            account.secret_key,
            base_addresses={"api": account.base} if account.base else None,
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        )

    def create_customer(self, *, name: str, email: str, reference: str, key: str) -> str:
        """The id under which the processor knows the customer."""
        params: CustomerCreateParams = {"name": name, "metadata": {"hostmeter_customer": reference}}
        if email:
            params["email"] = email
        with told_apart():
            return self._client.v1.customers.create(params, {"idempotency_key": key}).id

    def pay_off_session(self, amount: MinorAmount, payer: Payer, *, key: str, words: str) -> Intent:
        """Charge a saved method while the customer is away."""
        params = self._intent(amount, payer, key, words)
        params["off_session"] = True
        return self._created(params, key)

    def pay_on_session(
        self, amount: MinorAmount, payer: Payer, *, key: str, words: str, return_url: str
    ) -> Intent:
        """Charge a saved method while the customer is here: their bank may want to ask them."""
        params = self._intent(amount, payer, key, words)
        params["return_url"] = return_url
        return self._created(params, key)

    def intent(self, intent_id: str) -> Intent:
        with told_apart():
            return _intent(self._client.v1.payment_intents.retrieve(intent_id))

    def cancel_intent(self, intent_id: str) -> Intent:
        """Nothing is charged for it any more; one that was paid meanwhile is returned as paid."""
        try:
            with told_apart():
                return _intent(self._client.v1.payment_intents.cancel(intent_id))
        except Refused:
            # It went on to a state that cannot be cancelled: what that is, it says itself.
            return self.intent(intent_id)

    def find_intent(self, customer_id: str, key: str, *, since: datetime) -> Intent | None:
        """The payment that was made for this attempt. By the list, which is complete at once: the
        search API lags behind. The newest of several, of which there can be none."""
        params: PaymentIntentListParams = {
            "customer": customer_id,
            "created": {"gte": int(since.timestamp()) - 300},
            "limit": _PAGE,
        }
        with told_apart():
            for position, each in enumerate(
                self._client.v1.payment_intents.list(params).auto_paging_iter()
            ):
                if _told(each.metadata, "attempt") == key:
                    return _intent(each)
                if position >= _LISTED_MAX:
                    break
        return None

    def open_checkout(
        self,
        amount: MinorAmount,
        payer: Payer,
        *,
        key: str,
        words: str,
        success_url: str,
        cancel_url: str,
    ) -> Session:
        """A page on which the customer pays, and may leave the method for later."""
        params: SessionCreateParams = {
            "mode": "payment",
            "customer": payer.customer_id,
            "client_reference_id": key,
            "success_url": success_url,
            "cancel_url": cancel_url,
            "metadata": {"attempt": key},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": amount.currency.code.lower(),
                        "unit_amount": amount.units,
                        "product_data": {"name": words},
                    },
                }
            ],
            "payment_intent_data": {"metadata": {"attempt": key}, "description": words},
        }
        with told_apart():
            return _session(
                self._client.v1.checkout.sessions.create(params, {"idempotency_key": key})
            )

    def open_setup(
        self, customer_id: str, *, currency: str, success_url: str, cancel_url: str, key: str
    ) -> Session:
        """A page on which the customer enters a method to pay with later."""
        params: SessionCreateParams = {
            "mode": "setup",
            "customer": customer_id,
            "currency": currency.lower(),
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        with told_apart():
            return _session(
                self._client.v1.checkout.sessions.create(params, {"idempotency_key": key})
            )

    def session(self, session_id: str) -> Session:
        with told_apart():
            return _session(self._client.v1.checkout.sessions.retrieve(session_id))

    def expire_session(self, session_id: str) -> Session:
        """Nobody can pay on it any more; one that was completed meanwhile is returned so."""
        try:
            with told_apart():
                return _session(self._client.v1.checkout.sessions.expire(session_id))
        except Refused:
            return self.session(session_id)

    def find_session(self, customer_id: str, key: str, *, since: datetime) -> Session | None:
        """The page that was opened for this attempt."""
        with told_apart():
            found = self._client.v1.checkout.sessions.list(
                {
                    "customer": customer_id,
                    "created": {"gte": int(since.timestamp()) - 300},
                    "limit": _PAGE,
                }
            )
            for position, each in enumerate(found.auto_paging_iter()):
                if _told(each.metadata, "attempt") == key:
                    return _session(each)
                if position >= _LISTED_MAX:
                    break
        return None

    def setup_method(self, setup_intent_id: str) -> str:
        """The id of the method that was entered."""
        with told_apart():
            entered = self._client.v1.setup_intents.retrieve(setup_intent_id)
            return _id(entered.payment_method)

    def methods(self, customer_id: str) -> list[PaymentMethod]:
        """What the customer has saved, newest first, a hundred at most."""
        with told_apart():
            listed = self._client.v1.customers.payment_methods.list(customer_id, {"limit": _PAGE})
            return [_method(each) for each in listed.data]

    def default_method(self, customer_id: str) -> str:
        """The id of the method that invoices are paid with; empty where there is none."""
        with told_apart():
            customer = self._client.v1.customers.retrieve(customer_id)
            chosen = customer.invoice_settings
            return _id(chosen.default_payment_method) if chosen else ""

    def set_default_method(self, customer_id: str, method_id: str) -> None:
        """An empty `method_id` leaves the customer without one."""
        with told_apart():
            self._client.v1.customers.update(
                customer_id, {"invoice_settings": {"default_payment_method": method_id}}
            )

    def detach_method(self, method_id: str) -> None:
        with told_apart():
            self._client.v1.payment_methods.detach(method_id)

    def refund(self, intent_id: str, amount: MinorAmount, *, key: str) -> RefundSeen:
        params: RefundCreateParams = {
            "payment_intent": intent_id,
            "amount": amount.units,
            "metadata": {"refund": key},
        }
        with told_apart():
            return _refund(self._client.v1.refunds.create(params, {"idempotency_key": key}))

    def find_refund(self, intent_id: str, key: str) -> RefundSeen | None:
        for each in self.refunds(intent_id):
            if each.key == key:
                return each
        return None

    def refunds(self, intent_id: str) -> Iterator[RefundSeen]:
        with told_apart():
            listed = self._client.v1.refunds.list({"payment_intent": intent_id, "limit": _PAGE})
            yield from [_refund(each) for each in listed.auto_paging_iter()]

    def refund_seen(self, refund_id: str) -> RefundSeen:
        with told_apart():
            return _refund(self._client.v1.refunds.retrieve(refund_id))

    def _intent(
        self, amount: MinorAmount, payer: Payer, key: str, words: str
    ) -> PaymentIntentCreateParams:
        return {
            "amount": amount.units,
            "currency": amount.currency.code.lower(),
            "customer": payer.customer_id,
            "payment_method": payer.method_id,
            "confirm": True,
            "description": words,
            "metadata": {"attempt": key},
        }

    def _created(self, params: PaymentIntentCreateParams, key: str) -> Intent:
        try:
            with told_apart():
                return _intent(
                    self._client.v1.payment_intents.create(params, {"idempotency_key": key})
                )
        except Refused as refused:
            declined = _declined(refused.__cause__)
            if declined is None:
                raise
            return declined


def _declined(error: BaseException | None) -> Intent | None:
    """A declined card's error holds the payment that was made for it."""
    if not isinstance(error, stripe.CardError) or not isinstance(error.json_body, dict):
        return None
    told: Mapping[str, Any] = error.json_body.get("error", {})
    intent: Mapping[str, Any] = told.get("payment_intent") or {}
    if not intent.get("id"):
        return None
    return Intent(
        str(intent["id"]),
        _SEEN.get(str(intent.get("status")), Seen.DECLINED),
        0,
        str(intent.get("currency", "")).upper(),
        str((intent.get("metadata") or {}).get("attempt", "")),
        failure_code=str(told.get("decline_code") or told.get("code") or ""),
        failure_message=str(told.get("message", ""))[:500],
    )


def _intent(intent: stripe.PaymentIntent) -> Intent:
    failure = intent.last_payment_error
    action = intent.next_action
    redirect = action.redirect_to_url if action else None
    return Intent(
        intent.id,
        _SEEN[intent.status],
        intent.amount_received,
        intent.currency.upper(),
        _told(intent.metadata, "attempt"),
        hand_over_url=(redirect.url or "") if redirect else "",
        failure_code=(failure.decline_code or failure.code or "") if failure else "",
        failure_message=(failure.message or "")[:500] if failure else "",
        charge_id=_id(intent.latest_charge),
    )


def _session(session: stripe.checkout.Session) -> Session:
    return Session(
        session.id,
        session.status or "open",
        session.url or "",
        _id(session.payment_intent),
        _id(session.setup_intent),
        _told(session.metadata, "attempt"),
    )


def _method(method: stripe.PaymentMethod) -> PaymentMethod:
    # Of the members for each kind an answer holds its own kind's alone.
    card: stripe.PaymentMethod.Card | None = getattr(method, "card", None)
    debit: stripe.PaymentMethod.SepaDebit | None = getattr(method, "sepa_debit", None)
    if card:
        until = f"{card.exp_month:02}/{card.exp_year}"
        return PaymentMethod(method.id, method.type, card.brand, card.last4, until)
    return PaymentMethod(
        method.id, method.type, method.type, (debit.last4 or "") if debit else "", ""
    )


def _refund(refund: stripe.Refund) -> RefundSeen:
    return RefundSeen(
        refund.id,
        refund.status or "pending",
        _told(refund.metadata, "refund"),
        getattr(refund, "failure_reason", None) or "",
    )


def _id(reference: Any) -> str:
    """An id, whether the answer holds it or the object itself."""
    return reference if isinstance(reference, str) else str(getattr(reference, "id", "") or "")


def _told(metadata: Any, name: str) -> str:
    """What we noted at the processor's object; empty where we noted nothing."""
    return str(metadata[name]) if metadata and name in metadata else ""
