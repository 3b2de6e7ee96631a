"""PaymentIntents: from what is to be paid to a charge, or to why there is none."""

from typing import Final

from billing.fake_stripe.amounts import check_amount
from billing.fake_stripe.books import shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.cards import AUTHENTICATION_FAILED, UNAUTHENTICATED, Card, Decline
from billing.fake_stripe.methods import card_of, usable_method
from billing.fake_stripe.refusals import Fields, Refused, invalid

CREATE_PARAMS: Final = frozenset(
    {"allowed_payment_method_types", "amount", "automatic_payment_methods", "capture_method",
     "confirm", "confirmation_method", "currency", "customer", "description",
     "error_on_requires_action", "expand", "metadata", "off_session", "payment_method",
     "receipt_email", "return_url", "setup_future_usage", "statement_descriptor_suffix"}
)  # fmt: skip
CONFIRM_PARAMS: Final = frozenset(
    {"error_on_requires_action", "expand", "off_session", "payment_method", "return_url"}
)
_OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


def create_intent(call: Call) -> Fields:
    """Raises Refused, for a card that was declined after the intent was kept."""
    intent = _new(call)
    is_to_confirm = call.fields.get("confirm") is True
    if not is_to_confirm and (wrong := _only_confirmed(call)):
        raise invalid(f"{wrong} can only be used with confirm=true", param=wrong)
    method = _method(call, intent)
    if is_to_confirm:
        _check_confirmable(call, intent, method)
    call.books.add(call.account, intent)
    call.happen("payment_intent.created", intent)
    if is_to_confirm and method is not None:
        _confirm(call, intent, method)
    return shown(intent)


def _only_confirmed(call: Call) -> str | None:
    names = ("off_session", "return_url", "error_on_requires_action")
    return next((name for name in names if call.fields.get(name)), None)


def _new(call: Call) -> Fields:
    amount, currency = call.number("amount") or 0, call.text("currency") or ""
    check_amount(amount, currency)
    customer = call.text("customer")
    if customer is not None:
        call.one("customer", "customer", customer, param="customer")
    if call.text("capture_method") == "manual" or call.text("confirmation_method") == "manual":
        raise invalid("The fake Stripe captures and confirms by itself", param="capture_method")
    return new_intent(
        call,
        amount=amount,
        currency=currency,
        customer=customer,
        method_types=call.fields.get("allowed_payment_method_types"),
        details={
            "description": call.text("description"),
            "metadata": metadata(call),
            "receipt_email": call.text("receipt_email"),
            "setup_future_usage": call.text("setup_future_usage"),
            "statement_descriptor_suffix": call.text("statement_descriptor_suffix"),
            "_redirects": call.nested("automatic_payment_methods").get("allow_redirects"),
        },
    )


def new_intent(
    call: Call,
    *,
    amount: int,
    currency: str,
    customer: str | None,
    method_types: object,
    details: Fields,
) -> Fields:
    """An intent that waits for a payment method; it has not been kept yet."""
    intent = call.made(
        "pi",
        "payment_intent",
        amount=amount,
        amount_capturable=0,
        amount_received=0,
        automatic_payment_methods=None
        if method_types
        else {"enabled": True, "allow_redirects": details.get("_redirects") or "always"},
        canceled_at=None,
        cancellation_reason=None,
        capture_method="automatic_async",
        confirmation_method="automatic",
        currency=currency,
        customer=customer,
        description=None,
        last_payment_error=None,
        latest_charge=None,
        metadata={},
        next_action=None,
        payment_method=None,
        payment_method_types=method_types or ["card"],
        receipt_email=None,
        setup_future_usage=None,
        status="requires_payment_method",
    )
    return intent | details | {"client_secret": f"{intent['id']}_secret_{call.books.new_id('s')}"}


def _method(call: Call, intent: Fields) -> Fields | None:
    identifier = call.text("payment_method")
    if identifier is None:
        return None
    method = usable_method(call, identifier, intent["customer"])
    intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return method


def _check_confirmable(call: Call, intent: Fields, method: Fields | None) -> None:
    if method is None:
        raise invalid(
            "A payment method is needed to confirm this PaymentIntent", param="payment_method"
        )
    off_session = bool(call.fields.get("off_session"))
    if off_session and intent.get("setup_future_usage"):
        raise invalid("off_session cannot be used with setup_future_usage", param="off_session")
    automatic = intent["automatic_payment_methods"]
    may_redirect = automatic is not None and automatic["allow_redirects"] != "never"
    if may_redirect and not off_session and not call.text("return_url"):
        raise invalid(
            "This PaymentIntent takes payment methods that may redirect the customer: give a"
            " return_url, or set automatic_payment_methods[allow_redirects] to never",
            param="return_url",
        )


def confirm_intent(call: Call) -> Fields:
    intent = call.one("payment_intent", "payment_intent", call.ids[0])
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "confirmed")
    method = _method(call, intent)
    if method is None and intent["payment_method"]:
        method = usable_method(call, intent["payment_method"], intent["customer"])
    _check_confirmable(call, intent, method)
    if method is not None:
        _confirm(call, intent, method)
    return shown(intent)


def _confirm(call: Call, intent: Fields, method: Fields) -> None:
    off_session = bool(call.fields.get("off_session"))
    card = card_of(method)
    if not card.must_authenticate(off_session=off_session, is_set_up=method["_is_set_up"]):
        charge(call, intent, method)
    elif off_session or call.fields.get("error_on_requires_action"):
        decline(call, intent, method, UNAUTHENTICATED)
    else:
        ask_to_authenticate(call, intent, method, call.text("return_url"))
        call.keep(intent, "payment_intent.requires_action")


def ask_to_authenticate(
    call: Call, intent: Fields, method: Fields, return_url: str | None
) -> Fields:
    """Let the customer go to their bank's page; the intent's next_action says where it is."""
    where = {"url": f"{call.base_url}/3ds/{intent['id']}", "return_url": return_url}
    intent |= {
        "status": "requires_action",
        "payment_method": method["id"],
        "next_action": {"type": "redirect_to_url", "redirect_to_url": where},
    }
    return where


def charge(call: Call, intent: Fields, method: Fields) -> None:
    """Take the money. Raises Refused where the card is declined; what came of it is kept."""
    card: Card = card_of(method)
    if card.charging is not None:
        decline(call, intent, method, card.charging)
    made = _charge(call, intent, method, paid=True)
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": made["id"],
        "last_payment_error": None,
        "next_action": None,
        "payment_method": method["id"],
    }
    if intent["customer"] and intent.get("setup_future_usage"):
        method |= {"customer": intent["customer"], "_is_set_up": True}
        call.keep(method, "payment_method.attached")
    call.happen("charge.succeeded", made)
    call.keep(intent, "payment_intent.succeeded")


def decline(call: Call, intent: Fields, method: Fields, why: Decline) -> None:
    """Keep why there was no payment, and raise it as Refused."""
    made = _charge(call, intent, method, paid=False, why=why)
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": why.error(shown(method)) | {"charge": made["id"]},
        "latest_charge": made["id"],
        "next_action": None,
        "payment_method": None,
    }
    call.happen("charge.failed", made)
    call.keep(intent, "payment_intent.payment_failed")
    raise why.refusal(charge=made["id"], payment_intent=shown(intent), payment_method=shown(method))


def authentication_failed(call: Call, intent: Fields, method: Fields) -> None:
    """The customer did not pass their bank's page."""
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": AUTHENTICATION_FAILED.error(shown(method)),
        "next_action": None,
        "payment_method": None,
    }
    call.keep(intent, "payment_intent.payment_failed")


def _charge(
    call: Call, intent: Fields, method: Fields, *, paid: bool, why: Decline | None = None
) -> Fields:
    made = call.made(
        "ch",
        "charge",
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        amount_refunded=0,
        captured=paid,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        failure_code=why.code if why else None,
        failure_message=why.message if why else None,
        metadata=intent["metadata"],
        outcome={
            "network_status": "approved_by_network" if paid else "declined_by_network",
            "reason": why.decline_code if why else None,
            "type": "authorized" if paid else "issuer_declined",
        },
        paid=paid,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"type": "card", "card": method["card"]},
        refunded=False,
        status="succeeded" if paid else "failed",
        _number=method["_number"],
    )
    call.books.add(call.account, made, parent=intent["id"])
    return made


def cancel_intent(call: Call) -> Fields:
    intent = call.one("payment_intent", "payment_intent", call.ids[0])
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "canceled")
    intent |= {
        "status": "canceled",
        "canceled_at": call.now(),
        "cancellation_reason": call.text("cancellation_reason"),
        "next_action": None,
    }
    call.keep(intent, "payment_intent.canceled")
    return shown(intent)


def retrieve_intent(call: Call) -> Fields:
    return shown(call.one("payment_intent", "payment_intent", call.ids[0]))


def update_intent(call: Call) -> Fields:
    intent = call.one("payment_intent", "payment_intent", call.ids[0])
    intent["metadata"] = metadata(call, intent["metadata"])
    if "description" in call.fields:
        intent["description"] = call.text("description")
    call.keep(intent)
    return shown(intent)


def _unexpected(intent: Fields, what: str) -> Refused:
    return Refused(
        400,
        "invalid_request_error",
        f"This PaymentIntent could not be {what}: its status is {intent['status']}",
        code="payment_intent_unexpected_state",
        payment_intent=shown(intent),
    )


def retrieve_charge(call: Call) -> Fields:
    return shown(call.one("charge", "charge", call.ids[0]))
