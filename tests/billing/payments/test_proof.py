"""The campaign that proves that nobody is charged twice, in short; and that it would tell."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from billing.bench.paid_books import check_charges, check_deliveries
from billing.bench.paying import measure_payments
from metering.bench.together import BenchFailed

ALICE, BOB = uuid4(), uuid4()
PAYERS = {"cus_alice": ALICE, "cus_bob": BOB}


def charge(customer: str, amount: int) -> dict[str, Any]:
    return {"id": "ch_1", "customer": customer, "amount": amount}


class TestTheCampaign:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.timeout(400)
    def test_charges_each_invoice_once_whatever_gets_lost(self) -> None:
        figures = measure_payments(100, seed=4, progress=lambda line: None)

        assert (figures.charged, figures.declined) == (97, 3)
        assert figures.unknown_for_a_while > 10
        assert figures.webhooks_repeated > 10
        assert figures.webhooks_forged > 5
        assert figures.forged_accepted == 0
        assert figures.events_stored == figures.webhooks_accepted

    @pytest.mark.parametrize("option", ["--payments=0", "--payments=100001", "--seed=-1"])
    def test_has_bounds(self, option: str) -> None:
        with pytest.raises(CommandError, match="takes"):
            call_command("prove_payments", option)


class TestTheBooks:
    EXPECTED: dict[UUID, Decimal] = {ALICE: Decimal("12.34")}

    @pytest.mark.parametrize(
        ("charges", "words"),
        [
            ([charge("cus_alice", 1234), charge("cus_alice", 1234)], "charged 2 times"),
            ([charge("cus_bob", 1234), charge("cus_alice", 1234)], "declined, was charged"),
            ([], "1 customers were not charged"),
            ([charge("cus_alice", 1233)], "took 1233, not 1234"),
        ],
    )
    def test_tell_of_a_wrong_charge(self, charges: list[dict[str, Any]], words: str) -> None:
        with pytest.raises(BenchFailed, match=words):
            check_charges(charges, PAYERS, self.EXPECTED)

    @pytest.mark.parametrize(
        ("deliveries", "events", "words"),
        [
            ({"true": {"delivered": 3}, "forged: old": {"delivered": 1}}, 3, "forged: old"),
            ({"true": {"delivered": 2, "given up": 1}}, 3, "not all were accepted"),
            ({"true": {"delivered": 3}, "duplicate": {"delivered": 1}}, 4, "4 events are stored"),
        ],
    )
    def test_tell_of_a_wrong_webhook(
        self, deliveries: dict[str, dict[str, int]], events: int, words: str
    ) -> None:
        with pytest.raises(BenchFailed, match=words):
            check_deliveries(deliveries, events)
