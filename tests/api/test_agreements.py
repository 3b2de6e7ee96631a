"""What a subscription, a customer's own price, a discount and a wallet are agreed to be."""

from typing import Any

import pytest

from tests.api.calling import Program, done, fields, problem
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db


class TestSubscriptions:
    def test_are_read_back_as_they_were_agreed(self, provider: Provider, program: Program) -> None:
        customer = done(program.post("/customers", {"reference": "pine", "name": "Pine"}), 201)
        wanted = {
            "customer_id": customer["id"],
            "plan_id": str(provider.story.plan.pk),
            "starts_at": "2026-11-10T00:00:00Z",
            "cycle": "anniversary",
            "interval": "quarterly",
            "proration": "days",
            "currency": "EUR",
            "trial_ends_at": "2026-11-20T00:00:00Z",
            "commitment": {"amount": "1200", "interval": "yearly"},
        }
        begun = done(program.post("/subscriptions", wanted), 201)
        read = done(program.get(f"/subscriptions/{begun['id']}"))
        assert read == begun
        assert {name: read[name] for name in wanted} == wanted

    @pytest.mark.parametrize(
        ("commitment", "field"),
        [
            ({"amount": "0"}, "commitment.amount"),
            ({"amount": "100", "interval": "weekly"}, "commitment.interval"),
        ],
    )
    def test_refuse_commitments_that_cannot_be(
        self, provider: Provider, program: Program, commitment: Any, field: str
    ) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "plan_id": str(provider.story.plan.pk),
            "starts_at": "2026-11-10T00:00:00Z",
            "commitment": commitment,
        }
        assert fields(program.post("/subscriptions", body)) == {field}


class TestOwnPrices:
    def test_are_ended(self, provider: Provider, program: Program) -> None:
        path = f"/own-prices/{provider.own_price.pk}/end"
        ended = done(program.post(path, {"ends_at": "2026-12-20T00:00:00Z"}))
        assert ended["ends_at"] == "2026-12-20T00:00:00Z"
        assert done(program.get("/own-prices"))["data"] == [ended]
        assert done(program.get(f"/own-prices/{provider.own_price.pk}")) == ended

    def test_say_which_definition_no_price_can_have(
        self, provider: Provider, program: Program
    ) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "code": provider.own_price.code,
            "currency": "EUR",
            "definition": {"meter": "memory.used"},
            "starts_at": "2027-01-01T00:00:00Z",
        }
        assert fields(program.post("/own-prices", body)) == {"definition"}

    @pytest.mark.parametrize(
        "definition",
        [
            {"unit_price": 10**400},
            {"unit_price": "1e999999"},
            {"unit_price": "NaN"},
            {"unit_price": None},
            {"unit_price": {}},
            {"unit_price": True},
            {"unit_price": 0.5},
            {"unit_price": "\x00"},
            {"allowance": []},
            {"minimum": "-1"},
            {"maximum": "9" * 60},
            {"definition": {"size": {}}},
            {"definition": []},
            {"\x00": "1"},
            {"kind": "per_unit", "unit_price": "1", "tiers": [{"up_to": None, "unit_price": "1"}]},
        ],
    )
    def test_refuse_what_is_no_price(
        self, provider: Provider, program: Program, definition: Any
    ) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "code": provider.own_price.code,
            "currency": "EUR",
            "definition": definition,
            "starts_at": "2027-01-01T00:00:00Z",
        }
        assert fields(program.post("/own-prices", body)) == {"definition"}

    def test_do_not_change_what_is_finalized(self, provider: Provider, program: Program) -> None:
        done(program.post(f"/invoices/{provider.invoice.pk}/finalize"))
        body = {
            "customer_id": str(provider.story.customer.pk),
            "code": provider.own_price.code,
            "currency": "EUR",
            "definition": {"unit_price": "0.01"},
            "starts_at": "2026-10-01T00:00:00Z",
        }
        assert "invoiced" in problem(program.post("/own-prices", body), 409)["type"]


class TestDiscounts:
    def test_are_of_one_customer_subscription_or_plan(
        self, provider: Provider, program: Program
    ) -> None:
        body = {"name": "Offer", "percent": "15.5", "starts_at": "2026-11-01T00:00:00Z"}
        assert fields(program.post("/discounts", body)) == {"customer_id"}
        plan_id = str(provider.story.plan.pk)
        made = done(program.post("/discounts", {**body, "plan_id": plan_id, "periods": 1}), 201)
        assert (made["percent"], made["periods"], made["plan_id"]) == ("15.5", 1, plan_id)
        done(program.post(f"/discounts/{made['id']}/end", {"ends_at": "2027-01-01T00:00:00Z"}))

    def test_are_of_prices_that_there_are(self, provider: Provider, program: Program) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "name": "Offer",
            "percent": "10",
            "price_codes": ["gpu"],
            "starts_at": "2026-11-01T00:00:00Z",
        }
        assert fields(program.post("/discounts", body)) == {"price_codes"}

    def test_are_a_percentage_or_an_amount(self, provider: Provider, program: Program) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "name": "Offer",
            "percent": "10",
            "amount": "5",
            "currency": "EUR",
            "starts_at": "2026-11-01T00:00:00Z",
        }
        assert fields(program.post("/discounts", body)) == {"percent"}


class TestWallets:
    def test_hold_what_was_paid_into_them(self, provider: Provider, program: Program) -> None:
        path = f"/wallets/{provider.top_up.wallet_id}"
        assert done(program.get(path))["asks_for"]["id"] == str(provider.top_up.pk)
        paid = done(program.post(f"/top-ups/{provider.top_up.pk}/paid"))
        assert paid["state"] == "paid"
        done(program.post(f"{path}/top-ups", {"amount": "7.50"}), 201)
        wallet = done(program.get(path))
        assert (wallet["balance"], wallet["asks_for"]) == ("27.5", None)
        assert len(done(program.get(f"{path}/top-ups"))["data"]) == 2

    def test_count_a_repeated_payment_once(self, provider: Provider, program: Program) -> None:
        path = f"/wallets/{provider.top_up.wallet_id}"
        for _ in range(2):
            done(program.post(f"{path}/top-ups", {"amount": "7.50"}, named="one"), 201)
        done(program.post(f"/top-ups/{provider.top_up.pk}/paid"))
        done(program.post(f"/top-ups/{provider.top_up.pk}/paid"))
        assert done(program.get(path))["balance"] == "27.5"
        assert fields(program.post(f"{path}/top-ups", {"amount": "0.001"})) == {"amount"}

    def test_ask_for_no_more_once_a_top_up_failed(
        self, provider: Provider, program: Program
    ) -> None:
        path = f"/top-ups/{provider.top_up.pk}"
        done(program.post(f"{path}/failed", {"reason": "card expired"}))
        wallet = done(program.get(f"/wallets/{provider.top_up.wallet_id}"))
        assert (wallet["enabled"], wallet["asks_for"]) == (False, None)
        assert "settled" in problem(program.post(f"{path}/paid"), 409)["type"]

    def test_ask_when_their_threshold_is_raised(self, provider: Provider, program: Program) -> None:
        path = f"/wallets/{provider.top_up.wallet_id}"
        done(program.post(f"/top-ups/{provider.top_up.pk}/paid"))
        changed = done(program.patch(path, {"threshold": "30", "top_up_amount": "40"}))
        assert changed["asks_for"]["amount"] == "40"

    def test_are_one_in_a_currency(self, provider: Provider, program: Program) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "currency": "EUR",
            "top_up_amount": "5",
        }
        assert "wallet-exists" in problem(program.post("/wallets", body), 409)["type"]
        made = done(program.post("/wallets", {**body, "currency": "USD", "threshold": "1"}), 201)
        assert made["asks_for"]["amount"] == "5"


def test_a_step_that_is_refused_names_the_states_that_allow_it(
    provider: Provider, program: Program
) -> None:
    path = f"/invoices/{provider.invoice.pk}"
    refused = problem(program.post(f"{path}/write-off"), 409)
    assert "finalized, sent, partly paid, overdue" in refused["detail"]
    done(program.post(f"{path}/finalize"))
    done(program.post(f"{path}/void", {"reason": "wrong plan"}), 201)
    again = problem(program.post(f"{path}/write-off"), 409)
    assert again["type"].endswith("transition-not-allowed")
