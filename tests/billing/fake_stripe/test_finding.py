"""Lists and searches of the fake: complete, in order, page by page."""

from typing import Any

import pytest
import stripe

from billing.fake_stripe.server import FakeStripe
from tests.billing.fake_stripe.conftest import Shop, ask


def made(shop: Shop, count: int) -> list[str]:
    return [
        shop.client.v1.payment_intents.create(
            {"amount": 100 + n, "currency": "eur", "metadata": {"n": str(n % 3)}}
        ).id
        for n in range(count)
    ]


class TestAList:
    def test_is_newest_first_page_by_page(self, shop: Shop) -> None:
        intents = made(shop, 7)

        pages = shop.client.v1.payment_intents.list({"limit": 3})

        assert pages.has_more
        assert [each.id for each in pages.auto_paging_iter()] == intents[::-1]

    def test_goes_back_from_an_object(self, shop: Shop) -> None:
        intents = made(shop, 5)

        page = shop.client.v1.payment_intents.list({"ending_before": intents[1], "limit": 2})

        assert [each.id for each in page.data] == [intents[3], intents[2]]
        assert page.has_more

    def test_is_of_one_customer_and_time(self, fake: FakeStripe, shop: Shop) -> None:
        customer, method = shop.customer()
        shop.pay(*shop.customer())
        shop.pay(customer, method)
        ask(fake, "clock", {"forward_s": 1000})
        newer = shop.pay(customer, method)

        listed = shop.client.v1.payment_intents.list(
            {"customer": customer, "created": {"gte": newer.created}}
        )

        assert [each.id for each in listed.data] == [newer.id]

    @pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 101}, {"starting_after": "pi_x"}])
    def test_refuses_a_page_that_cannot_be(self, shop: Shop, wrong: Any) -> None:
        with pytest.raises(stripe.InvalidRequestError):
            shop.client.v1.payment_intents.list(wrong)


class TestASearch:
    @pytest.mark.parametrize(
        ("query", "wanted"),
        [
            ('metadata["n"]:"1"', [4, 1]),
            ("amount>103", [5, 4]),
            ('metadata["n"]:"1" AND amount<102', [1]),
            ('metadata["n"]:"1" OR metadata["n"]:"2"', [5, 4, 2, 1]),
            ('-metadata["n"]:"0" AND currency:"eur"', [5, 4, 2, 1]),
            ("customer:null AND amount>=105", [5]),
        ],
    )
    def test_finds_what_its_query_says(self, shop: Shop, query: str, wanted: list[int]) -> None:
        intents = made(shop, 6)

        found = shop.client.v1.payment_intents.search({"query": query})

        assert [each.id for each in found.data] == [intents[n] for n in wanted]

    def test_goes_on_page_by_page(self, shop: Shop) -> None:
        intents = made(shop, 5)

        found = shop.client.v1.payment_intents.search({"query": 'currency:"eur"', "limit": 2})

        assert [each.id for each in found.auto_paging_iter()] == intents[::-1]

    def test_does_not_know_yet_what_was_just_written(self, fake: FakeStripe, shop: Shop) -> None:
        (intent,) = made(shop, 1)
        ask(fake, "faults", {"search_lag_s": 60})

        assert shop.client.v1.payment_intents.search({"query": 'currency:"eur"'}).data == []
        assert [each.id for each in shop.client.v1.payment_intents.list().data] == [intent]
        ask(fake, "clock", {"forward_s": 61})
        assert len(shop.client.v1.payment_intents.search({"query": 'currency:"eur"'}).data) == 1

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "amount",
            'colour:"red"',
            "metadata:1",
            'a:"b" c',
            "amount>1 AND amount<2 OR amount:3",
        ],
    )
    def test_refuses_a_query_that_cannot_be_read(self, shop: Shop, query: str) -> None:
        with pytest.raises(stripe.InvalidRequestError):
            shop.client.v1.payment_intents.search({"query": query})
