"""A request with an idempotency key is carried out once, as Stripe documents it."""

import threading
from pathlib import Path
from typing import Any

import pytest
import stripe

from billing.fake_stripe.answers import KEYS_KEPT_S
from billing.fake_stripe.server import FakeStripe
from tests.billing.fake_stripe.conftest import Shop, ask, client_of, running


class TestARequestThatIsMadeAgain:
    def test_gets_the_answer_of_the_first(self, shop: Shop) -> None:
        customer, method = shop.customer()

        first = shop.pay(customer, method, key="k")
        again = shop.pay(customer, method, key="k")

        assert again.id == first.id
        assert shop.charged() == [1234]
        assert again.last_response is not None
        assert again.last_response.headers["Idempotent-Replayed"] == "true"

    def test_gets_a_declined_card_as_the_first_did(self, shop: Shop) -> None:
        customer, method = shop.customer("pm_card_chargeCustomerFail")

        intents = set()
        for _ in range(2):
            with pytest.raises(stripe.CardError) as declined:
                shop.pay(customer, method, key="k")
            body: Any = declined.value.json_body
            intents.add(body["error"]["payment_intent"]["id"])

        assert len(intents) == 1

    def test_is_refused_with_other_parameters(self, shop: Shop) -> None:
        shop.client.v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})

        with pytest.raises(stripe.IdempotencyError):
            shop.client.v1.customers.create({"name": "Eve"}, {"idempotency_key": "k"})

    def test_is_carried_out_after_it_was_refused_for_its_parameters(self, shop: Shop) -> None:
        wrong: Any = {"amount": "1.5", "currency": "eur"}
        with pytest.raises(stripe.InvalidRequestError):
            shop.client.v1.payment_intents.create(wrong, {"idempotency_key": "k"})

        shop.client.v1.payment_intents.create(
            {"amount": 150, "currency": "eur"}, {"idempotency_key": "k"}
        )

    def test_is_another_one_a_day_later(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        first = shop.pay(customer, method, key="k")

        ask(fake, "clock", {"forward_s": KEYS_KEPT_S + 1})

        assert shop.pay(customer, method, key="k").id != first.id
        assert shop.charged() == [1234, 1234]

    def test_is_another_one_for_another_account(self, fake: FakeStripe, shop: Shop) -> None:
        first = shop.client.v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
        second = client_of(fake, "sk_test_mallory").v1.customers.create(
            {"name": "Eve"}, {"idempotency_key": "k"}
        )

        assert second.id != first.id

    def test_is_refused_while_the_first_is_carried_out(self, fake: FakeStripe, shop: Shop) -> None:
        ask(fake, "faults", {"answer_delay_ms": 300})
        start = threading.Barrier(2)
        outcomes: list[int] = []

        def create() -> None:
            start.wait()
            try:
                client_of(fake).v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
                outcomes.append(200)
            except stripe.StripeError as error:
                outcomes.append(error.http_status or 0)

        threads = [threading.Thread(target=create) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(outcomes) == [200, 409]


class TestAFault:
    def test_loses_an_answer_after_the_charge(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        ask(fake, "faults", {"answer_lost_percent": 100})

        with pytest.raises(stripe.APIConnectionError):
            shop.pay(customer, method, key="k")

        assert shop.charged() == [1234]
        ask(fake, "faults", {})
        assert shop.pay(customer, method, key="k").status == "succeeded"
        assert shop.charged() == [1234]

    def test_loses_a_request_before_anything_is_done(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        ask(fake, "faults", {"request_lost_percent": 100})

        with pytest.raises(stripe.APIConnectionError):
            shop.pay(customer, method, key="k")

        assert shop.charged() == []

    def test_is_a_500_that_stays_until_the_key_is_forgotten(
        self, fake: FakeStripe, shop: Shop
    ) -> None:
        customer, method = shop.customer()
        ask(fake, "faults", {"stored_500_percent": 100})
        with pytest.raises(stripe.APIError):
            shop.pay(customer, method, key="k")
        charged = shop.charged()
        ask(fake, "faults", {})

        with pytest.raises(stripe.APIError):
            shop.pay(customer, method, key="k")
        assert shop.charged() == charged

        ask(fake, "clock", {"forward_s": KEYS_KEPT_S + 1})
        assert shop.pay(customer, method, key="k").status == "succeeded"

    def test_of_500_comes_with_and_without_a_charge(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        ask(fake, "faults", {"stored_500_percent": 100})

        for n in range(20):
            with pytest.raises(stripe.APIError):
                shop.pay(customer, method, key=f"k{n}")

        assert 0 < len(shop.charged()) < 20

    def test_asks_for_patience_and_keeps_nothing(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        ask(fake, "faults", {"rate_limited_percent": 100})
        with pytest.raises(stripe.RateLimitError):
            shop.pay(customer, method, key="k")

        ask(fake, "faults", {})

        assert shop.pay(customer, method, key="k").status == "succeeded"

    def test_happens_to_the_same_requests_with_the_same_seed(self, tmp_path: Path) -> None:
        outcomes = []
        for run in range(2):
            with running(tmp_path / f"{run}.sqlite3") as fake:
                shop = Shop(client_of(fake))
                customer, method = shop.customer()
                ask(fake, "faults", {"answer_lost_percent": 50, "seed": 7})
                outcomes.append([_is_lost(shop, customer, method, f"k{n}") for n in range(20)])

        assert outcomes[0] == outcomes[1]
        assert {True, False} == set(outcomes[0])

    @pytest.mark.parametrize(
        "wrong", [{"answer_lost_percent": 101}, {"answer_lost_percent": "5"}, {"other": 1}]
    )
    def test_that_cannot_be_is_refused(self, fake: FakeStripe, wrong: dict[str, Any]) -> None:
        with pytest.raises(Exception, match="400"):
            ask(fake, "faults", wrong)


def _is_lost(shop: Shop, customer: str, method: str, key: str) -> bool:
    try:
        shop.pay(customer, method, key=key)
    except stripe.APIConnectionError:
        return True
    return False
