"""The fake takes what Stripe takes, and refuses the rest."""

import http.client
from typing import Any, Literal, get_args, get_origin

import pytest
import stripe

from billing.fake_stripe.forms import decoded
from billing.fake_stripe.refusals import Refused
from billing.fake_stripe.routes import ROUTES
from billing.fake_stripe.server import FakeStripe
from billing.fake_stripe.shapes import checked, shape
from tests.billing.fake_stripe.conftest import Shop, client_of


class TestTheParametersOfARequest:
    @pytest.mark.parametrize(
        ("given", "param", "code"),
        [
            ({"currency": "eur"}, "amount", "parameter_missing"),
            ({"amount": "12.5", "currency": "eur"}, "amount", "parameter_invalid_integer"),
            ({"amount": 1000, "currency": "eur", "colour": "red"}, "colour", "parameter_unknown"),
            ({"amount": 1000, "currency": "EUR"}, "currency", None),
            ({"amount": 1000, "currency": "xyz"}, "currency", None),
            ({"amount": 49, "currency": "eur"}, "amount", "amount_too_small"),
            ({"amount": 0, "currency": "vnd"}, "amount", "parameter_invalid_integer"),
            ({"amount": 100_000_000, "currency": "eur"}, "amount", "amount_too_large"),
            ({"amount": 1001, "currency": "kwd"}, "amount", None),
            ({"amount": 1050, "currency": "isk"}, "amount", None),
            (
                {"amount": 1000, "currency": "eur", "capture_method": "sometimes"},
                "capture_method",
                None,
            ),
            ({"amount": 1000, "currency": "eur", "confirm": "perhaps"}, "confirm", None),
            ({"amount": 1000, "currency": "eur", "off_session": "perhaps"}, "off_session", None),
            (
                {"amount": 1000, "currency": "eur", "payment_method_options": {"card": {"x": 1}}},
                "payment_method_options[card][x]",
                "parameter_unknown",
            ),
            (
                {"amount": 1000, "currency": "eur", "customer": "cus_nobody"},
                "customer",
                "resource_missing",
            ),
            (
                {"amount": 1000, "currency": "eur", "mandate": "mandate_1"},
                "mandate",
                "not_in_the_fake",
            ),
            ({"amount": 1000, "currency": "eur", "confirm": True}, "payment_method", None),
            (
                {"amount": 1000, "currency": "eur", "metadata": {"note": "x" * 501}},
                "metadata[note]",
                None,
            ),
        ],
    )
    def test_are_refused_where_stripe_refuses_them(
        self, shop: Shop, given: Any, param: str, code: str | None
    ) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop.client.v1.payment_intents.create(given)

        assert (refused.value.param, refused.value.code) == (param, code)
        assert shop.client.v1.payment_intents.list().data == []

    @pytest.mark.parametrize(
        ("currency", "amount"), [("eur", 50), ("jpy", 50), ("kwd", 1230), ("mga", 7), ("isk", 100)]
    )
    def test_are_whole_minor_units_of_the_currency(
        self, shop: Shop, currency: str, amount: int
    ) -> None:
        intent = shop.client.v1.payment_intents.create({"amount": amount, "currency": currency})

        assert (intent.amount, intent.currency) == (amount, currency)

    def test_are_known_to_stripe_wherever_they_are_known_here(self) -> None:
        described = {route.shape for route in ROUTES if route.shape}

        for name in described:
            kind: Any = shape(name)
            with pytest.raises(Refused, match="unknown parameter"):
                checked(kind, {"no_such_parameter": "1"})
        assert len(described) > 30

    def test_may_take_an_optional_text_away_with_an_empty_one(self) -> None:
        given = {"metadata": "", "description": ""}

        assert checked(shape("PaymentIntentUpdateParams"), given) == given

    def test_keep_free_texts_free_where_only_the_empty_one_is_named(self) -> None:
        hint = shape("CustomerUpdateParams").__annotations__

        assert get_origin(hint) is not Literal
        assert get_args(hint) == ()
        assert checked(shape("CustomerUpdateParams"), {"name": "Bob & Söhne"}) == {
            "name": "Bob & Söhne"
        }


class TestAForm:
    def test_holds_objects_and_lists(self) -> None:
        assert decoded("a[b]=1&l[0][x]=2&l[1][x]=3&e[]=u&e[]=v&t=%C3%A4+b") == {
            "a": {"b": "1"},
            "l": [{"x": "2"}, {"x": "3"}],
            "e": ["u", "v"],
            "t": "ä b",
        }

    @pytest.mark.parametrize(
        "text", ["a=1&a=2", "a=1&a[b]=2", "[x]=1", "a[b=1", "a" + "[b]" * 9 + "=1", "plain"]
    )
    def test_that_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(Refused):
            decoded(text)

    def test_that_is_endless_is_refused(self) -> None:
        with pytest.raises(Refused):
            decoded("&".join(f"a[{n}]=1" for n in range(1_001)))


class TestAnAddress:
    def test_that_stripe_has_and_the_fake_has_not_says_so(self, shop: Shop) -> None:
        with pytest.raises(stripe.InvalidRequestError, match="knows what Hostmeter uses"):
            shop.client.v1.subscriptions.list()

    @pytest.mark.parametrize("key", ["sk_live_abc", "pk_test_abc", "nonsense"])
    def test_opens_with_a_secret_key_of_test_mode_only(self, fake: FakeStripe, key: str) -> None:
        with pytest.raises(stripe.AuthenticationError, match="test mode"):
            client_of(fake, key).v1.customers.list()

    def test_is_not_answered_under_another_host(self, fake: FakeStripe) -> None:
        connection = http.client.HTTPConnection(fake.url.removeprefix("http://"), timeout=10)

        connection.request("GET", "/_fake/charges", headers={"Host": "evil.example"})

        assert connection.getresponse().status == 421
        connection.close()

    def test_of_another_account_is_like_none(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        intent = shop.pay(customer, method)
        other = client_of(fake, "sk_test_mallory")

        for identifier in (intent.id, "pi_nowhere"):
            with pytest.raises(stripe.InvalidRequestError) as refused:
                other.v1.payment_intents.retrieve(identifier)
            assert str(refused.value).endswith(f"No such payment_intent: '{identifier}'")
        assert other.v1.payment_intents.list().data == []
        with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
            other.v1.payment_intents.create(
                {"amount": 100, "currency": "eur", "payment_method": method}
            )
