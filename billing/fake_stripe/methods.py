"""Payment methods: cards, and whose they are."""

from typing import Final

from billing.fake_stripe.books import Books, shown
from billing.fake_stripe.calls import Call
from billing.fake_stripe.cards import BY_ALIAS, BY_NUMBER, Card
from billing.fake_stripe.refusals import Fields, invalid, missing

ATTACH_PARAMS: Final = frozenset({"customer", "expand"})


def new_method(call: Call, card: Card, *, exp_month: int = 12, exp_year: int = 2034) -> Fields:
    """A payment method of the card, nobody's yet."""
    method = call.made(
        "pm",
        "payment_method",
        allow_redisplay="unspecified",
        billing_details={"address": None, "email": None, "name": None, "phone": None},
        card={
            "brand": card.brand,
            "checks": {"cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": f"fp{card.number[-8:]}",
            "funding": "credit",
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        customer=None,
        metadata={},
        type="card",
        _number=card.number,
        _is_set_up=False,
    )
    call.books.add(call.account, method)
    return method


def card_of(method: Fields) -> Card:
    return BY_NUMBER[method["_number"]]


def usable_method(call: Call, identifier: str, customer: str | None) -> Fields:
    """The method with the id, for a payment of the customer's. Raises Refused.

    A test card's name, such as pm_card_visa, makes a new method, as in Stripe's test mode.
    """
    if card := BY_ALIAS.get(identifier):
        return new_method(call, card)
    method = call.books.get(call.account, "payment_method", identifier)
    if method is None:
        raise missing("PaymentMethod", identifier, param="payment_method")
    if method.get("_was_detached"):
        raise invalid(
            "The payment method was detached from its customer and cannot be used again",
            param="payment_method",
        )
    if method["customer"] != customer and method["customer"] is not None:
        raise invalid(
            "The payment method belongs to a customer: name that customer to use it",
            param="payment_method",
        )
    return method


def attach(call: Call, method: Fields, customer: str) -> None:
    """Save the method for the customer. Raises Refused where its bank says no."""
    if declined := card_of(method).saving:
        raise declined.refusal()
    if method["customer"] != customer:
        method["customer"] = customer
        call.keep(method, "payment_method.attached")


def attach_method(call: Call) -> Fields:
    customer = call.text("customer")
    if customer is None:
        raise invalid("Name the customer to attach to", param="customer", code="parameter_missing")
    call.one("customer", "customer", customer, param="customer")
    method = usable_method(call, call.ids[0], customer)
    attach(call, method, customer)
    return shown(method)


def detach_method(call: Call) -> Fields:
    method = call.one("payment_method", "PaymentMethod", call.ids[0])
    customer = method["customer"]
    if customer is None:
        raise invalid(
            "The payment method is not attached to a customer, so it cannot be detached",
            param="payment_method",
        )
    method |= {"customer": None, "_was_detached": True}
    call.keep(method, "payment_method.detached")
    _forget_default(call.books, call.account, customer, method["id"])
    return shown(method)


def _forget_default(books: Books, account: str, customer: str, method: str) -> None:
    found = books.get(account, "customer", customer)
    if found and found["invoice_settings"]["default_payment_method"] == method:
        found["invoice_settings"]["default_payment_method"] = None
        books.save(account, found)


def retrieve_method(call: Call) -> Fields:
    return shown(call.one("payment_method", "PaymentMethod", call.ids[0]))


def retrieve_method_of_customer(call: Call) -> Fields:
    customer, identifier = call.ids
    method = call.one("payment_method", "PaymentMethod", identifier)
    if method["customer"] != customer:
        raise missing("PaymentMethod", identifier)
    return shown(method)
