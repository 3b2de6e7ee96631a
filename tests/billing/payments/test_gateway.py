"""The gateway does what it says, at the fake and, with STRIPE_TEST_KEY, in Stripe's test mode."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from django.utils import timezone

from billing.core.collecting import MinorAmount, Seen
from billing.core.currencies import currency_of
from billing.gateway import Account, Intent, Refused, Stripe
from billing.gateway.stripe_api import Payer
from tests.billing.fake_stripe.conftest import running

_TEST_KEY: Final = os.environ.get("STRIPE_TEST_KEY", "")
_PLACES: Final = ["fake", "stripe"] if _TEST_KEY else ["fake"]
AMOUNT: Final = MinorAmount(1234, currency_of("EUR"))


@dataclass(frozen=True, slots=True)
class Bob:
    """A customer whom the processor knows."""

    processor: Stripe
    id: str
    since: datetime

    def card(self, card: str = "pm_card_visa") -> Payer:
        attached = self.processor._client.v1.payment_methods.attach(card, {"customer": self.id})
        return Payer(self.id, attached.id)

    def pay(self, payer: Payer, key: str, *, amount: MinorAmount = AMOUNT) -> Intent:
        return self.processor.pay_off_session(amount, payer, key=key, words="Invoice 7")


def account(place: str, fake_url: str) -> Account:
    return Account("sk_test_gateway", "", fake_url) if place == "fake" else Account(_TEST_KEY, "")


@pytest.fixture(params=_PLACES)
def bob(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bob]:
    with running(tmp_path / "stripe.sqlite3") as fake:
        processor = Stripe(account(request.param, fake.url))
        customer = processor.create_customer(
            name="Bob", email="bob@example.com", reference="bob", key=key()
        )
        yield Bob(processor, customer, timezone.now() - timedelta(minutes=1))


def key() -> str:
    """Another one in each run: test mode remembers the last day's."""
    return f"hostmeter-{uuid4()}-1"


class TestAPaymentWhileTheCustomerIsAway:
    def test_is_made_once_for_one_key(self, bob: Bob) -> None:
        payer, used = bob.card(), key()

        first, again = bob.pay(payer, used), bob.pay(payer, used)

        assert (first.seen, first.received, first.currency) == (Seen.PAID, 1234, "EUR")
        assert first.key == used
        assert again.id == first.id

    def test_is_found_by_its_key_at_once(self, bob: Bob) -> None:
        payer, used = bob.card(), key()
        bob.pay(payer, key())
        made = bob.pay(payer, used)

        found = bob.processor.find_intent(bob.id, used, since=bob.since)

        assert found is not None
        assert found.id == made.id
        assert bob.processor.find_intent(bob.id, key(), since=bob.since) is None

    @pytest.mark.parametrize(
        ("card", "code"),
        [
            ("pm_card_chargeCustomerFail", "generic_decline"),
            ("pm_card_authenticationRequired", "authentication_required"),
        ],
    )
    def test_that_is_declined_can_be_cancelled(self, bob: Bob, card: str, code: str) -> None:
        declined = bob.pay(bob.card(card), key())

        assert (declined.seen, declined.failure_code) == (Seen.DECLINED, code)
        assert declined.failure_message
        assert bob.processor.cancel_intent(declined.id).seen == Seen.CANCELLED

    def test_that_was_made_is_not_cancelled(self, bob: Bob) -> None:
        made = bob.pay(bob.card(), key())

        assert bob.processor.cancel_intent(made.id).seen == Seen.PAID

    def test_is_in_whole_units_of_any_currency(self, bob: Bob) -> None:
        payer = bob.card()

        for units, code in ((1234, "JPY"), (5120, "KWD"), (1300, "ISK")):
            paid = bob.pay(payer, key(), amount=MinorAmount(units, currency_of(code)))
            assert (paid.seen, paid.received, paid.currency) == (Seen.PAID, units, code)

    def test_that_can_never_be_is_refused(self, bob: Bob) -> None:
        with pytest.raises(Refused) as refused:
            bob.pay(bob.card(), key(), amount=MinorAmount(1, currency_of("EUR")))

        assert refused.value.code == "amount_too_small"


class TestAPaymentWhileTheCustomerIsHere:
    def test_is_handed_over_to_the_bank_where_that_asks(self, bob: Bob) -> None:
        asked = bob.processor.pay_on_session(
            AMOUNT,
            bob.card("pm_card_authenticationRequired"),
            key=key(),
            words="Invoice 7",
            return_url="https://example.com/back",
        )

        assert asked.seen == Seen.AWAITS_CUSTOMER
        assert asked.hand_over_url.startswith("http")

    def test_on_a_page_is_found_and_can_be_closed(self, bob: Bob) -> None:
        used = key()
        page = bob.processor.open_checkout(
            AMOUNT,
            Payer(bob.id),
            key=used,
            words="Invoice 7",
            success_url="https://example.com/paid",
            cancel_url="https://example.com/back",
        )

        found = bob.processor.find_session(bob.id, used, since=bob.since)

        assert page.status == "open"
        assert page.url.startswith("http")
        assert found is not None
        assert (found.id, found.key) == (page.id, used)
        assert bob.processor.expire_session(page.id).status == "expired"


class TestASavedMethod:
    def test_is_listed_chosen_and_removed(self, bob: Bob) -> None:
        card = bob.card().method_id
        (listed,) = bob.processor.methods(bob.id)
        assert (listed.id, listed.brand, listed.last4) == (card, "visa", "4242")

        bob.processor.set_default_method(bob.id, card)
        assert bob.processor.default_method(bob.id) == card

        bob.processor.detach_method(card)
        assert bob.processor.methods(bob.id) == []
        assert bob.processor.default_method(bob.id) == ""

    def test_is_entered_on_a_page(self, bob: Bob) -> None:
        page = bob.processor.open_setup(
            bob.id,
            currency="EUR",
            success_url="https://example.com/saved",
            cancel_url="https://example.com/back",
            key=key(),
        )

        assert page.status == "open"
        assert page.url.startswith("http")


class TestARefund:
    def test_is_made_once_for_one_key_and_found_by_it(self, bob: Bob) -> None:
        paid, used = bob.pay(bob.card(), key()), key()
        some = MinorAmount(234, currency_of("EUR"))

        first = bob.processor.refund(paid.id, some, key=used)
        again = bob.processor.refund(paid.id, some, key=used)

        assert first.status == "succeeded"
        assert again.id == first.id
        found = bob.processor.find_refund(paid.id, used)
        assert found is not None
        assert found.id == first.id
        assert bob.processor.find_refund(paid.id, key()) is None

    def test_of_more_than_was_paid_is_refused(self, bob: Bob) -> None:
        paid = bob.pay(bob.card(), key())

        with pytest.raises(Refused):
            bob.processor.refund(paid.id, MinorAmount(1235, currency_of("EUR")), key=key())
