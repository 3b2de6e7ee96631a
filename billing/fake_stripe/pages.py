"""The pages of Stripe's that a customer sees: Checkout, and a bank's 3-D Secure."""

from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import urlencode

from billing.fake_stripe.amounts import shown as amount_shown
from billing.fake_stripe.answers import Desk
from billing.fake_stripe.books import Asked
from billing.fake_stripe.calls import Call
from billing.fake_stripe.cards import CARDS, Decline, card_with
from billing.fake_stripe.checkout import complete, expire_when_due, intent_of
from billing.fake_stripe.intents import ask_to_authenticate, authentication_failed, charge
from billing.fake_stripe.methods import card_of, new_method
from billing.fake_stripe.refusals import Fields, Refused
from billing.fake_stripe.setups import ask_to_authenticate as ask_to_set_up
from billing.fake_stripe.setups import must_authenticate, save_card, setup_failed

_METHODS_MAX: Final = 20
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8a8f98;--accent:#3b4cca;font:16px/1.5 system-ui,sans-serif}
body{max-width:34rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}.note{border-left:.3rem solid var(--line);padding:.3rem .8rem}
label{display:block;margin:.6rem 0}input[type=text]{font:inherit;width:100%;padding:.5rem;
box-sizing:border-box;border:1px solid var(--line);border-radius:.3rem}
button,.quiet{font:inherit;padding:.6rem 1.2rem;border-radius:.3rem;border:1px solid var(--line)}
button{background:var(--accent);color:#fff;border-color:var(--accent);cursor:pointer}
.quiet{color:inherit;background:none;text-decoration:none;display:inline-block}
.problem{border-left:.3rem solid #c62828;padding:.3rem .8rem}fieldset{border:1px solid var(--line);
border-radius:.3rem}td,th{text-align:left;padding:.15rem .8rem .15rem 0}:focus-visible{outline:3px
solid #f2a900;outline-offset:2px}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """HTML, or where to go on where `location` is set."""

    status: int
    html: str = ""
    location: str = ""


def page(desk: Desk, method: str, path: str, form: Fields) -> Page:
    """Answers a browser."""
    kind, _, identifier = path.strip("/").rpartition("/")
    with desk.books.transaction():
        if kind == "c/pay" and (found := desk.books.get_any("checkout.session", identifier)):
            account, session = found
            return _checkout(_call(desk, account), session, form if method == "POST" else None)
        if kind == "3ds" and (bank := _at_the_bank(desk, identifier)):
            account, intent = bank
            return _bank(_call(desk, account), intent, form if method == "POST" else None)
    return _message(404, "There is no such page", "The address is not complete, or from before a"
                    " reset.")  # fmt: skip


def _call(desk: Desk, account: str) -> Call:
    return Call(desk.books, desk.faults, account, desk.base_url, (), {})


def _at_the_bank(desk: Desk, identifier: str) -> tuple[str, Fields] | None:
    return desk.books.get_any("payment_intent", identifier) or desk.books.get_any(
        "setup_intent", identifier
    )


def _checkout(call: Call, session: Fields, form: Fields | None) -> Page:
    session = expire_when_due(call, session)
    if session["status"] == "complete":
        return Page(303, location=_success(session))
    if session["status"] == "expired":
        return _message(410, "This page has expired", "Go back to where you came from and begin"
                        " again.")  # fmt: skip
    if form is None:
        return _ask_for_card(call, session)
    chosen = _chosen_method(call, session, form)
    if isinstance(chosen, Decline):
        return _ask_for_card(call, session, chosen.message)
    try:
        return _use(call, session, chosen)
    except Refused as refused:
        return _ask_for_card(call, session, str(refused))


def _use(call: Call, session: Fields, method: Fields) -> Page:
    """Pay with the card or save it, by way of its bank where that asks. Raises Refused."""
    if session["mode"] == "setup":
        setup = call.one("setup_intent", "setupintent", session["setup_intent"])
        if must_authenticate(method):
            ask_to_set_up(call, setup | {"_session": session["id"]}, method, None)
            return Page(303, location=f"/3ds/{setup['id']}")
        save_card(call, setup, method)
    else:
        intent = intent_of(call, session)
        is_set_up = method["_is_set_up"]
        if card_of(method).must_authenticate(off_session=False, is_set_up=is_set_up):
            intent["_session"] = session["id"]
            ask_to_authenticate(call, intent, method, None)
            call.keep(intent, "payment_intent.requires_action")
            return Page(303, location=f"/3ds/{intent['id']}")
        charge(call, intent, method)
    complete(call, session)
    return Page(303, location=_success(session))


def _success(session: Fields) -> str:
    url: str = session["success_url"]
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _chosen_method(call: Call, session: Fields, form: Fields) -> Fields | Decline:
    for method in _saved(call, session):
        if method["id"] == form.get("method"):
            return method
    card = card_with(str(form.get("number", "")))
    return card if isinstance(card, Decline) else new_method(call, card)


def _saved(call: Call, session: Fields) -> list[Fields]:
    if session["mode"] == "setup" or not session["customer"]:
        return []
    asked = Asked("payment_method", customer=session["customer"])
    return [method for _, method in call.books.found(call.account, asked, _METHODS_MAX)]


def _ask_for_card(call: Call, session: Fields, problem: str = "") -> Page:
    is_setup = session["mode"] == "setup"
    if is_setup:
        title, action = "Save a card", "Save card"
    else:
        amount = amount_shown(session["amount_total"], session["currency"])
        title, action = f"Pay {amount}", f"Pay {amount}"
    saved = "".join(
        f'<label><input type="radio" name="method" value="{escape(method["id"])}"'
        f"{' checked' if position == 0 else ''}> {escape(method['card']['brand'].title())}"
        f" ending in {escape(method['card']['last4'])}</label>"
        for position, method in enumerate(_saved(call, session))
    )
    if saved:
        saved = (
            f"<fieldset><legend>Pay with</legend>{saved}<label><input type=radio name=method"
            ' value=""> Another card, with the number below</label></fieldset>'
        )
    cancel = session["cancel_url"]
    back = f'<a class="quiet" href="{escape(cancel)}">Back</a>' if cancel else ""
    wrong = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    body = (
        f"<h1>{escape(title)}</h1><p>{escape(session['_what'])}</p>{wrong}"
        f'<form method="post">{saved}<label for="number">Number of a test card</label>'
        '<input type="text" id="number" name="number" inputmode="numeric" autocomplete="off"'
        ' value="4242 4242 4242 4242" aria-describedby="cards">'
        f"<p><button>{escape(action)}</button> {back}</p></form>{_known_cards()}"
    )
    return Page(200 if not problem else 402, _html(title, body))


def _known_cards() -> str:
    rows = "".join(
        f"<tr><td>{' '.join(card.number[n : n + 4] for n in range(0, 16, 4))}</td>"
        f"<td>{escape(card.what)}</td></tr>"
        for card in CARDS
    )
    return (
        '<table id="cards"><caption>Test cards</caption><thead><tr><th scope="col">Number</th>'
        f'<th scope="col">What the card does</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _bank(call: Call, intent: Fields, form: Fields | None) -> Page:
    if intent["status"] != "requires_action":
        return _after_bank(call, intent)
    if form is None:
        what = (
            amount_shown(intent["amount"], intent["currency"])
            if intent["object"] == "payment_intent"
            else "saving this card"
        )
        body = (
            "<h1>Your bank asks: is it you?</h1>"
            f"<p>Approve {escape(what)}, as you would with your bank's app.</p>"
            '<form method="post"><button name="answer" value="yes">Approve</button> '
            '<button class="quiet" name="answer" value="no">Refuse</button></form>'
        )
        return Page(200, _html("3-D Secure", body))
    where: Fields = intent["next_action"]["redirect_to_url"]
    intent["_return_url"] = where["return_url"]
    method = call.one("payment_method", "PaymentMethod", intent["payment_method"])
    # A refusal is kept with the intent; where the customer goes on tells them.
    with suppress(Refused):
        _decided(call, intent, method, approved=form.get("answer") == "yes")
    return _after_bank(call, intent)


def _decided(call: Call, intent: Fields, method: Fields, *, approved: bool) -> None:
    is_payment = intent["object"] == "payment_intent"
    if not approved:
        (authentication_failed if is_payment else setup_failed)(call, intent, method)
        return
    (charge if is_payment else save_card)(call, intent, method)
    if intent.get("_session"):
        complete(call, call.one("checkout.session", "checkout.session", intent["_session"]))


def _after_bank(call: Call, intent: Fields) -> Page:
    """Back to the Checkout page, or to whoever asked for the payment."""
    if session := intent.get("_session"):
        return Page(303, location=f"/c/pay/{session}")
    return_url = intent.get("_return_url")
    if not return_url:
        return _message(200, "Thank you", "You can close this page.")
    result = urlencode(
        {
            intent["object"]: intent["id"],
            f"{intent['object']}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if intent["status"] == "succeeded" else "failed",
        }
    )
    return Page(303, location=f"{return_url}{'&' if '?' in return_url else '?'}{result}")


def _message(status: int, title: str, text: str) -> Page:
    return Page(status, _html(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>"))


def _html(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)} · fake Stripe</title>'
        f"<style>{_STYLE}</style></head><body><main>"
        '<p class="note">This is the fake Stripe of a demonstration: no money moves. Never enter a'
        f" real card.</p>{body}</main></body></html>"
    )
