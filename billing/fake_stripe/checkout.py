"""Checkout Sessions: pages of Stripe's on which a customer pays or saves a card."""

from typing import Final

from billing.fake_stripe.amounts import check_amount, check_currency
from billing.fake_stripe.books import shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.intents import new_intent
from billing.fake_stripe.refusals import Fields, Refused, invalid
from billing.fake_stripe.setups import new_setup

CREATE_PARAMS: Final = frozenset(
    {"allowed_payment_method_types", "cancel_url", "client_reference_id", "currency", "customer",
     "customer_email", "expand", "expires_at", "line_items", "locale", "metadata", "mode",
     "payment_intent_data", "saved_payment_method_options", "setup_intent_data", "submit_type",
     "success_url"}
)  # fmt: skip
OPEN_FOR_S: Final = 24 * 3600
_OPEN_FOR_S_LEAST: Final = 30 * 60


def create_session(call: Call) -> Fields:
    mode = call.text("mode")
    if mode not in {"payment", "setup"}:
        raise invalid("The fake Stripe knows the modes payment and setup", param="mode")
    success_url = call.text("success_url")
    if success_url is None:
        raise invalid(
            "Missing required param: success_url", param="success_url", code="parameter_missing"
        )
    for name in ("success_url", "cancel_url"):
        if not (call.text(name) or "https://").startswith(("https://", "http://")):
            raise invalid("Not a valid URL", param=name, code="url_invalid")
    customer = call.text("customer")
    if customer is not None:
        call.one("customer", "customer", customer, param="customer")
    amount, currency = _amount(call) if mode == "payment" else (None, _setup_currency(call))
    session = call.made(
        "cs_test",
        "checkout.session",
        amount_subtotal=amount,
        amount_total=amount,
        cancel_url=call.text("cancel_url"),
        client_reference_id=call.text("client_reference_id"),
        currency=currency,
        customer=customer,
        customer_email=call.text("customer_email"),
        expires_at=_expires_at(call),
        locale=call.text("locale"),
        metadata=metadata(call),
        mode=mode,
        payment_intent=None,
        payment_method_types=call.fields.get("allowed_payment_method_types") or ["card"],
        payment_status="unpaid" if mode == "payment" else "no_payment_required",
        setup_intent=None,
        status="open",
        success_url=success_url,
        ui_mode="hosted_page",
        _intent_data=call.nested("payment_intent_data"),
        _what=_what(call),
    )
    session["url"] = f"{call.base_url}/c/pay/{session['id']}"
    if mode == "setup":
        session["setup_intent"] = _add_setup(call, customer)
    call.books.add(call.account, session)
    return shown(session)


def _expires_at(call: Call) -> int:
    asked = call.number("expires_at")
    if asked is None:
        return call.now() + OPEN_FOR_S
    if not call.now() + _OPEN_FOR_S_LEAST <= asked <= call.now() + OPEN_FOR_S:
        raise invalid("expires_at is from 30 minutes to 24 hours ahead", param="expires_at")
    return asked


def _setup_currency(call: Call) -> str | None:
    currency = call.text("currency")
    if currency is None and not call.fields.get("allowed_payment_method_types"):
        raise invalid(
            "In setup mode give a currency, or name allowed_payment_method_types", param="currency"
        )
    if currency is not None:
        check_currency(currency)
    if call.fields.get("line_items"):
        raise invalid("Nothing is bought in setup mode", param="line_items")
    return currency


def _items(call: Call) -> list[Fields]:
    items = call.fields.get("line_items")
    return list(items) if isinstance(items, list) else []


def _amount(call: Call) -> tuple[int, str]:
    total, currencies = 0, set()
    for position, item in enumerate(_items(call)):
        price = item.get("price_data")
        at = f"line_items[{position}]"
        if price is None or "unit_amount" not in price or "product_data" not in price:
            raise invalid(
                "The fake Stripe needs price_data with unit_amount and product_data", param=at
            )
        total += price["unit_amount"] * item.get("quantity", 1)
        currencies.add(price["currency"])
    if len(currencies) != 1:
        raise invalid("line_items have to be of one currency", param="line_items")
    (currency,) = currencies
    check_amount(total, currency)
    return total, currency


def _what(call: Call) -> str:
    return ", ".join(
        item["price_data"]["product_data"]["name"]
        for item in _items(call)
        if "name" in item.get("price_data", {}).get("product_data", {})
    )


def _add_setup(call: Call, customer: str | None) -> str:
    kept = {str(k): str(v) for k, v in
            dict(call.nested("setup_intent_data").get("metadata") or {}).items()}  # fmt: skip
    setup = new_setup(call, customer, kept)
    call.books.add(call.account, setup)
    return str(setup["id"])


def intent_of(call: Call, session: Fields) -> Fields:
    """The session's PaymentIntent: made when the customer first pays, and kept for another try."""
    if session["payment_intent"]:
        return call.one("payment_intent", "payment_intent", session["payment_intent"])
    data = session["_intent_data"]
    intent = new_intent(
        call,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        method_types=["card"],
        details={
            "description": data.get("description"),
            "metadata": data.get("metadata") or {},
            "receipt_email": data.get("receipt_email"),
            "setup_future_usage": data.get("setup_future_usage"),
        },
    )
    call.books.add(call.account, intent)
    call.happen("payment_intent.created", intent)
    session["payment_intent"] = intent["id"]
    call.keep(session)
    return intent


def complete(call: Call, session: Fields) -> None:
    """The customer is through: tell the one who sent them."""
    session["status"] = "complete"
    if session["mode"] == "payment":
        session["payment_status"] = "paid"
    call.keep(session, "checkout.session.completed")


def expire_when_due(call: Call, session: Fields) -> Fields:
    if session["status"] == "open" and session["expires_at"] <= call.now():
        _expire(call, session)
    return session


def retrieve_session(call: Call) -> Fields:
    session = call.one("checkout.session", "checkout.session", call.ids[0])
    return shown(expire_when_due(call, session))


def expire_session(call: Call) -> Fields:
    session = call.one("checkout.session", "checkout.session", call.ids[0])
    if session["status"] != "open":
        raise Refused(
            400,
            "invalid_request_error",
            f"Only open sessions can be expired; this one's status is {session['status']}",
        )
    _expire(call, session)
    return shown(session)


def _expire(call: Call, session: Fields) -> None:
    """Nobody can pay here any more: what was begun is canceled with it."""
    session |= {"status": "expired", "url": None}
    call.keep(session, "checkout.session.expired")
    if session["payment_intent"]:
        intent = call.one("payment_intent", "payment_intent", session["payment_intent"])
        intent |= {"status": "canceled", "canceled_at": call.now(), "next_action": None}
        call.keep(intent, "payment_intent.canceled")
