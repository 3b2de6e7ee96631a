"""A customer pays and saves cards on the fake's pages, as a browser uses them."""

import http.client
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import stripe

from billing.fake_stripe.server import FakeStripe
from tests.billing.fake_stripe.conftest import Shop, ask

BACK = "http://127.0.0.1:1/back"


def visit(url: str, **form: str) -> tuple[int, str, str]:
    """A page's status, text, and where it sends the browser; with a form, by POST."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    body = urlencode(form) if form else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    connection.request("POST" if form else "GET", parts.path, body, headers)
    answer = connection.getresponse()
    text, location = answer.read().decode(), answer.headers.get("Location", "")
    connection.close()
    if location.startswith("/"):
        location = f"{parts.scheme}://{parts.netloc}{location}"
    return answer.status, text, location


def to_pay(shop: Shop, customer: str, *, name: str = "Invoice 7") -> stripe.checkout.Session:
    return shop.client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": customer,
            "success_url": f"{BACK}?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": BACK,
            "metadata": {"attempt": "1"},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "eur",
                        "unit_amount": 1234,
                        "product_data": {"name": name},
                    },
                }
            ],
            "payment_intent_data": {"metadata": {"attempt": "1"}},
        }
    )


def to_set_up(shop: Shop, customer: str) -> stripe.checkout.Session:
    return shop.client.v1.checkout.sessions.create(
        {"mode": "setup", "customer": customer, "currency": "eur", "success_url": BACK}
    )


def url_of(session: stripe.checkout.Session) -> str:
    assert session.url is not None
    return session.url


class TestThePaymentPage:
    def test_says_what_is_paid_and_that_no_money_moves(self, shop: Shop) -> None:
        customer, _ = shop.customer()

        status, text, _ = visit(url_of(to_pay(shop, customer, name="<b>Invoice</b>")))

        assert status == 200
        assert "12.34 EUR" in text
        assert "no money moves" in text
        assert "&lt;b&gt;Invoice&lt;/b&gt;" in text

    def test_takes_a_card_once(self, shop: Shop) -> None:
        customer, _ = shop.customer()
        session = to_pay(shop, customer)

        _, _, location = visit(url_of(session), number="4242 4242 4242 4242")
        visit(url_of(session), number="4242 4242 4242 4242")

        assert location == f"{BACK}?session={session.id}"
        assert shop.charged() == [1234]
        paid = shop.client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
        assert (paid.status, paid.payment_status) == ("complete", "paid")
        assert isinstance(paid.payment_intent, stripe.PaymentIntent)
        assert paid.payment_intent.metadata["attempt"] == "1"
        assert shop.events()[-1] == "checkout.session.completed"

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            ("4000 0000 0000 9995", "insufficient funds"),
            ("4242 4242 4242 4241", "number is incorrect"),
            ("4111 1111 1111 1111", "test cards"),
            ("", "number is incorrect"),
        ],
    )
    def test_lets_the_customer_try_another_card(self, shop: Shop, number: str, words: str) -> None:
        customer, saved = shop.customer()
        session = to_pay(shop, customer)

        status, text, _ = visit(url_of(session), number=number)

        assert status == 402
        assert words in text
        _, _, location = visit(url_of(session), method=saved)
        assert location.startswith(BACK)
        assert shop.charged() == [1234]
        assert len(shop.client.v1.payment_intents.list({"customer": customer}).data) == 1

    @pytest.mark.parametrize(("answer", "charged"), [("yes", [1234]), ("no", [])])
    def test_lets_the_bank_ask(self, shop: Shop, answer: str, charged: list[int]) -> None:
        customer, _ = shop.customer()
        session = to_pay(shop, customer)
        _, _, bank = visit(url_of(session), number="4000002760003184")
        assert "is it you" in visit(bank)[1]

        _, _, back = visit(bank, answer=answer)

        assert back == session.url
        assert shop.charged() == charged
        status = shop.client.v1.checkout.sessions.retrieve(session.id).status
        assert status == ("complete" if charged else "open")

    def test_is_closed_when_it_expired(self, fake: FakeStripe, shop: Shop) -> None:
        customer, _ = shop.customer()
        early, late = to_pay(shop, customer), to_pay(shop, customer)
        shop.client.v1.checkout.sessions.expire(early.id)
        ask(fake, "clock", {"forward_s": 24 * 3600})

        for session in (early, late):
            assert visit(url_of(session), number="4242424242424242")[0] == 410
            assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "expired"
        assert shop.charged() == []


class TestThePageForACard:
    def test_saves_it_for_payments_while_its_owner_is_away(self, shop: Shop) -> None:
        customer = shop.client.v1.customers.create({"name": "Bob"}).id
        session = to_set_up(shop, customer)

        _, _, bank = visit(url_of(session), number="4000002500003155")
        visit(bank, answer="yes")

        setup = shop.client.v1.setup_intents.retrieve(str(session.setup_intent))
        assert setup.status == "succeeded"
        assert shop.pay(customer, str(setup.payment_method)).status == "succeeded"

    def test_saves_nothing_that_its_bank_declines(self, shop: Shop) -> None:
        customer = shop.client.v1.customers.create({"name": "Bob"}).id
        session = to_set_up(shop, customer)

        status, text, _ = visit(url_of(session), number="4000000000000002")

        assert status == 402
        assert "declined" in text
        assert shop.client.v1.customers.payment_methods.list(customer).data == []


class TestTheBanksPage:
    def test_sends_the_customer_back_with_what_came_of_it(self, shop: Shop) -> None:
        customer, method = shop.customer("pm_card_authenticationRequired")
        intent = shop.client.v1.payment_intents.create(
            {
                "amount": 1234,
                "currency": "eur",
                "customer": customer,
                "payment_method": method,
                "confirm": True,
                "return_url": f"{BACK}?x=1",
            }
        )
        assert intent.next_action is not None
        assert intent.next_action.redirect_to_url is not None
        bank = str(intent.next_action.redirect_to_url.url)

        _, _, location = visit(bank, answer="yes")
        again = visit(bank, answer="no")[2]

        assert location == again
        given = parse_qs(urlsplit(location).query)
        assert (given["payment_intent"], given["redirect_status"]) == ([intent.id], ["succeeded"])
        assert shop.charged() == [1234]

    def test_that_is_none_says_so(self, fake: FakeStripe) -> None:
        for path in ("/3ds/pi_nothing", "/c/pay/cs_test_nothing", "/", "/3ds/"):
            assert visit(f"{fake.url}{path}")[0] == 404
