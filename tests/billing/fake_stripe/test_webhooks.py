"""Events of the fake reach whoever asked for them, signed, whatever happens on the way."""

from typing import Literal, TypeAlias

import pytest
import stripe

from billing.fake_stripe.server import FakeStripe
from tests.billing.fake_stripe.conftest import Ear, Heard, Shop, ask

Event: TypeAlias = Literal["*", "payment_intent.created", "payment_intent.succeeded"]


def listening(shop: Shop, ear: Ear, event: Event) -> str:
    """Have such events delivered; the secret they are signed with."""
    endpoint = shop.client.v1.webhook_endpoints.create({"url": ear.url, "enabled_events": [event]})
    assert endpoint.secret is not None
    return endpoint.secret


def is_genuine(heard: Heard, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(heard.body, heard.signature or "", secret, 300)
    except stripe.SignatureVerificationError:
        return False
    return True


class TestAnEvent:
    def test_is_signed_and_holds_the_object_as_it_was(self, shop: Shop, ear: Ear) -> None:
        secret = listening(shop, ear, "payment_intent.succeeded")

        intent = shop.pay(*shop.customer())

        (heard,) = ear.wait_for(1)
        assert is_genuine(heard, secret)
        assert not is_genuine(heard, "whsec_other")
        assert heard.event["type"] == "payment_intent.succeeded"
        assert heard.event["data"]["object"]["id"] == intent.id
        assert shop.client.v1.events.retrieve(heard.event["id"]).type == heard.event["type"]

    def test_comes_again_until_it_is_taken(self, shop: Shop, ear: Ear) -> None:
        ear.answers = [500]
        listening(shop, ear, "payment_intent.succeeded")

        shop.pay(*shop.customer())

        first, second = ear.wait_for(2)
        assert (first.answered, second.answered) == (500, 200)
        assert first.event["id"] == second.event["id"]

    def test_is_duplicated_on_demand(self, fake: FakeStripe, shop: Shop, ear: Ear) -> None:
        secret = listening(shop, ear, "payment_intent.succeeded")
        ask(fake, "faults", {"duplicate_percent": 100})

        shop.pay(*shop.customer())

        heard = ear.wait_for(2)
        assert {each.event["id"] for each in heard} == {heard[0].event["id"]}
        assert all(is_genuine(each, secret) for each in heard)

    def test_is_forged_on_demand_in_every_way(self, fake: FakeStripe, shop: Shop, ear: Ear) -> None:
        # Which of three ways it is follows from the intent's id: that one of them comes to none of
        # so many happens once in three million runs.
        count = 40
        ear.answers = [200] * 2 * count
        secret = listening(shop, ear, "payment_intent.created")
        ask(fake, "faults", {"forged_percent": 100})

        for _ in range(count):
            shop.client.v1.payment_intents.create({"amount": 500, "currency": "eur"})

        heard = ear.wait_for(2 * count)
        assert sum(is_genuine(each, secret) for each in heard) == count
        forged = [each for each in heard if not is_genuine(each, secret)]
        assert {each.event["data"]["object"]["status"] for each in forged} == {"succeeded"}
        assert len([kind for kind in ask(fake, "deliveries") if kind.startswith("forged")]) == 3

    def test_comes_out_of_order_on_demand(self, fake: FakeStripe, shop: Shop, ear: Ear) -> None:
        listening(shop, ear, "payment_intent.created")
        ask(fake, "faults", {"webhook_delay_ms_max": 1500, "seed": 3})
        intents = [
            shop.client.v1.payment_intents.create({"amount": 500, "currency": "eur"}).id
            for _ in range(12)
        ]

        heard = [each.event["data"]["object"]["id"] for each in ear.wait_for(12)]

        assert sorted(heard) == sorted(intents)
        assert heard != intents

    def test_goes_nowhere_but_to_this_machine(self, shop: Shop) -> None:
        for url in ("https://example.com/hook", "http://10.0.0.1/hook", "file:///etc/passwd"):
            with pytest.raises(stripe.InvalidRequestError, match="this machine only"):
                shop.client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})

    def test_stays_away_from_an_endpoint_that_is_gone(
        self, fake: FakeStripe, shop: Shop, ear: Ear
    ) -> None:
        listening(shop, ear, "*")
        for endpoint in shop.client.v1.webhook_endpoints.list().data:
            shop.client.v1.webhook_endpoints.delete(endpoint.id)

        shop.pay(*shop.customer())

        assert ask(fake, "deliveries") == {}
