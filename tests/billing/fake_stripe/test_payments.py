"""What becomes of cards, payments and refunds at the fake."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stripe

from billing.fake_stripe.server import FakeStripe
from tests.billing.fake_stripe.conftest import Shop, ask, client_at


class TestASavedCard:
    def test_pays_while_its_owner_is_away(self, shop: Shop) -> None:
        intent = shop.pay(*shop.customer())

        assert (intent.status, intent.amount_received) == ("succeeded", 1234)
        assert shop.charged() == [1234]
        assert shop.events()[-3:] == [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
        ]

    @pytest.mark.parametrize(
        ("card", "code", "decline_code"),
        [
            ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
            ("pm_card_authenticationRequired", "authentication_required", None),
        ],
    )
    def test_may_be_declined(
        self, shop: Shop, card: str, code: str, decline_code: str | None
    ) -> None:
        with pytest.raises(stripe.CardError) as declined:
            shop.pay(*shop.customer(card))

        body: Any = declined.value.json_body
        assert declined.value.code == code
        assert body["error"]["decline_code"] == (decline_code or code)
        assert body["error"]["payment_intent"]["status"] == "requires_payment_method"
        assert shop.charged() == []
        assert shop.events()[-1] == "payment_intent.payment_failed"

    def test_that_its_bank_declines_is_not_saved(self, shop: Shop) -> None:
        with pytest.raises(stripe.CardError):
            shop.customer("pm_card_visa_chargeDeclinedInsufficientFunds")

    def test_asks_its_owner_where_they_are_present(self, shop: Shop) -> None:
        customer, method = shop.customer("pm_card_authenticationRequired")

        intent = shop.client.v1.payment_intents.create(
            {
                "amount": 1000,
                "currency": "eur",
                "customer": customer,
                "payment_method": method,
                "confirm": True,
                "return_url": "http://127.0.0.1/back",
            }
        )

        assert intent.status == "requires_action"
        assert intent.next_action is not None
        assert intent.next_action.redirect_to_url is not None
        assert shop.charged() == []

    def test_pays_for_nobody_else(self, shop: Shop) -> None:
        _, method = shop.customer()
        other, _ = shop.customer()

        with pytest.raises(stripe.InvalidRequestError, match="belongs to a customer"):
            shop.pay(other, method)

    def test_pays_nothing_once_it_is_detached(self, shop: Shop) -> None:
        customer, method = shop.customer()
        shop.client.v1.customers.update(
            customer, {"invoice_settings": {"default_payment_method": method}}
        )

        shop.client.v1.payment_methods.detach(method)

        with pytest.raises(stripe.InvalidRequestError, match="detached"):
            shop.pay(customer, method)
        settings = shop.client.v1.customers.retrieve(customer).invoice_settings
        assert settings is not None
        assert settings.default_payment_method is None
        assert shop.client.v1.customers.payment_methods.list(customer).data == []


class TestAPayment:
    def test_that_succeeded_cannot_be_cancelled(self, shop: Shop) -> None:
        intent = shop.pay(*shop.customer())

        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop.client.v1.payment_intents.cancel(intent.id)
        assert refused.value.code == "payment_intent_unexpected_state"

    def test_that_was_cancelled_cannot_be_confirmed(self, shop: Shop) -> None:
        intent = shop.client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
        shop.client.v1.payment_intents.cancel(intent.id)

        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop.client.v1.payment_intents.confirm(
                intent.id, {"payment_method": "pm_card_visa", "return_url": "http://127.0.0.1/"}
            )
        assert refused.value.code == "payment_intent_unexpected_state"

    def test_shows_its_charge_instead_of_the_id_where_asked(self, shop: Shop) -> None:
        intent = shop.pay(*shop.customer())

        found = shop.client.v1.payment_intents.retrieve(
            intent.id, {"expand": ["latest_charge.payment_method"]}
        )

        assert isinstance(found.latest_charge, stripe.Charge)
        assert found.latest_charge.amount == 1234

    def test_keeps_no_note_of_the_fakes_in_what_it_shows(self, shop: Shop) -> None:
        intent = shop.pay(*shop.customer())

        (charge,) = shop.client.v1.charges.list().data
        shown = {*intent.to_dict(), *charge.to_dict()}
        assert not [name for name in shown if name.startswith("_")]


class TestARefund:
    def test_gives_back_no_more_than_was_paid_all_together(self, shop: Shop) -> None:
        intent = shop.pay(*shop.customer())
        shop.client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})

        with pytest.raises(stripe.InvalidRequestError, match=r"2\.34 EUR"):
            shop.client.v1.refunds.create({"payment_intent": intent.id, "amount": 235})
        shop.client.v1.refunds.create({"payment_intent": intent.id})
        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop.client.v1.refunds.create({"payment_intent": intent.id})

        assert refused.value.code == "charge_already_refunded"
        listed = shop.client.v1.refunds.list({"payment_intent": intent.id}).data
        assert [refund.amount for refund in listed] == [234, 1000]

    def test_of_what_was_not_paid_is_refused(self, shop: Shop) -> None:
        intent = shop.client.v1.payment_intents.create({"amount": 500, "currency": "eur"})

        with pytest.raises(stripe.InvalidRequestError, match="no successful charge"):
            shop.client.v1.refunds.create({"payment_intent": intent.id})

    @pytest.mark.parametrize(
        ("card", "at_first", "later", "event"),
        [
            ("pm_card_pendingRefund", "pending", "succeeded", "refund.updated"),
            ("pm_card_refundFail", "succeeded", "failed", "refund.failed"),
        ],
    )
    def test_may_be_decided_later(
        self, fake: FakeStripe, shop: Shop, card: str, at_first: str, later: str, event: str
    ) -> None:
        intent = shop.pay(*shop.customer(card))
        refund = shop.client.v1.refunds.create({"payment_intent": intent.id})
        assert refund.status == at_first

        ask(fake, "clock", {"forward_s": 60})

        assert shop.client.v1.refunds.retrieve(refund.id).status == later
        assert shop.events()[-1] == event


class TestWhatWasDone:
    def test_is_there_after_a_kill(self, tmp_path: Path) -> None:
        state = str(tmp_path / "stripe.sqlite3")
        first, url = _started(state)
        shop = Shop(client_at(url))
        customer, method = shop.customer()
        paid = shop.pay(customer, method, key="k")
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()

        second, url = _started(state)
        again = Shop(client_at(url))
        try:
            assert again.pay(customer, method, key="k").id == paid.id
            assert again.charged() == [1234]
        finally:
            second.terminate()
            second.communicate()
        assert second.returncode == 0


def _started(state: str) -> tuple["subprocess.Popen[str]", str]:
    command = [sys.executable, "-m", "billing.fake_stripe", "--state", state]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]
