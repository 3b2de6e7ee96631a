"""SetupIntents: a card is saved for later, with its bank's consent where that is asked for."""

from typing import Final

from billing.fake_stripe.books import shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.cards import AUTHENTICATION_FAILED, Asks, Decline
from billing.fake_stripe.methods import card_of, usable_method
from billing.fake_stripe.refusals import Fields, invalid

CREATE_PARAMS: Final = frozenset(
    {"allowed_payment_method_types", "automatic_payment_methods", "confirm", "customer",
     "description", "expand", "metadata", "payment_method", "return_url", "usage"}
)  # fmt: skip


def create_setup(call: Call) -> Fields:
    customer = call.text("customer")
    if customer is not None:
        call.one("customer", "customer", customer, param="customer")
    setup = new_setup(call, customer, metadata(call))
    identifier = call.text("payment_method")
    method = usable_method(call, identifier, customer) if identifier else None
    is_to_confirm = call.fields.get("confirm") is True
    if is_to_confirm and method is None:
        raise invalid(
            "A payment method is needed to confirm this SetupIntent", param="payment_method"
        )
    call.books.add(call.account, setup)
    call.happen("setup_intent.created", setup)
    if is_to_confirm and method is not None:
        if must_authenticate(method):
            ask_to_authenticate(call, setup, method, call.text("return_url"))
        else:
            save_card(call, setup, method)
    return shown(setup)


def new_setup(call: Call, customer: str | None, kept: dict[str, str]) -> Fields:
    setup = call.made(
        "seti",
        "setup_intent",
        customer=customer,
        description=None,
        last_setup_error=None,
        metadata=kept,
        next_action=None,
        payment_method=None,
        payment_method_types=["card"],
        status="requires_payment_method",
        usage=call.text("usage") or "off_session",
    )
    return setup | {"client_secret": f"{setup['id']}_secret_{call.books.new_id('s')}"}


def must_authenticate(method: Fields) -> bool:
    return card_of(method).asks in {Asks.UNLESS_SET_UP, Asks.ALWAYS}


def ask_to_authenticate(call: Call, setup: Fields, method: Fields, return_url: str | None) -> None:
    where = {"url": f"{call.base_url}/3ds/{setup['id']}", "return_url": return_url}
    setup |= {
        "status": "requires_action",
        "payment_method": method["id"],
        "next_action": {"type": "redirect_to_url", "redirect_to_url": where},
    }
    call.keep(setup, "setup_intent.requires_action")


def save_card(call: Call, setup: Fields, method: Fields) -> None:
    """Raises Refused where the bank declines; why is kept."""
    if why := card_of(method).saving:
        setup_failed(call, setup, method, why)
        raise why.refusal(setup_intent=shown(setup), payment_method=shown(method))
    method |= {"customer": setup["customer"], "_is_set_up": setup["usage"] == "off_session"}
    call.keep(method, "payment_method.attached" if setup["customer"] else None)
    setup |= {
        "status": "succeeded",
        "payment_method": method["id"],
        "last_setup_error": None,
        "next_action": None,
    }
    call.keep(setup, "setup_intent.succeeded")


def setup_failed(
    call: Call, setup: Fields, method: Fields, why: Decline = AUTHENTICATION_FAILED
) -> None:
    setup |= {
        "status": "requires_payment_method",
        "last_setup_error": why.error(shown(method)),
        "next_action": None,
        "payment_method": None,
    }
    call.keep(setup, "setup_intent.setup_failed")


def retrieve_setup(call: Call) -> Fields:
    return shown(call.one("setup_intent", "setupintent", call.ids[0]))
