"""Entries and what is folded from them. A test's docstring is the ledger it is about."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from inspect import cleandoc
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import UnknownCurrency
from billing.core.entries import Event, issued, moved
from billing.core.exact import InexactNumber, plain
from billing.core.ledger import (
    Account,
    EntryKind,
    EntryNotBalanced,
    EntryTooShort,
    JournalEntry,
    Posting,
    PostingNotPayable,
    balances,
    customer_statement,
    trial_balance,
)
from billing.core.money import sum_amounts

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
_HEAD = re.compile(r"(\d{4}-\d\d-\d\d) (\w+) (.+)")
_POSTING = re.compile(r"(\w+)/(\w+)\s+(-?[\d.]+) (\w+)")


def entries(text: str) -> list[JournalEntry]:
    """The ledger in a docstring: "2026-11-01 issued Invoice 1", and below it its postings, as
    "receivable/shop 119.00 EUR"."""
    paragraphs = [
        list(lines) for written, lines in groupby(cleandoc(text).splitlines(), key=bool) if written
    ]
    return [entry(head, lines) for head, *lines in paragraphs]


def entry(head: str, lines: list[str]) -> JournalEntry:
    day, kind, description = _HEAD.fullmatch(head).groups()  # type: ignore[union-attr]
    return JournalEntry(
        EntryKind(kind),
        datetime.fromisoformat(f"{day}T00:00:00+00:00"),
        description,
        tuple(posting(line.strip()) for line in lines),
    )


def posting(line: str) -> Posting:
    account, customer, amount, currency = _POSTING.fullmatch(line).groups()  # type: ignore[union-attr]
    return Posting(Account(account), customer, currency, Decimal(amount))


def ledger_of(test: Callable[..., object]) -> list[JournalEntry]:
    return entries(test.__doc__ or "")


class TestEntry:
    @pytest.mark.parametrize(
        ("text", "refusal"),
        [
            (
                """
                2026-11-01 issued Invoice 1
                  receivable/shop 119 EUR
                  revenue/shop   -100 EUR
                """,
                EntryNotBalanced,
            ),
            (
                """
                2026-11-01 payment Two currencies never make up for each other
                  cash/shop        10 EUR
                  receivable/shop -10 USD
                """,
                EntryNotBalanced,
            ),
            ("2026-11-01 payment Nothing", EntryTooShort),
            (
                """
                2026-11-01 payment From nowhere
                  cash/shop 10 EUR
                """,
                EntryTooShort,
            ),
            (
                """
                2026-11-01 payment Less than a cent
                  cash/shop        0.001 EUR
                  receivable/shop -0.001 EUR
                """,
                PostingNotPayable,
            ),
            (
                """
                2026-11-01 payment Of nothing
                  cash/shop       0 EUR
                  receivable/shop 0 EUR
                """,
                PostingNotPayable,
            ),
            (
                """
                2026-11-01 payment In no currency
                  cash/shop        1 EUX
                  receivable/shop -1 EUX
                """,
                UnknownCurrency,
            ),
        ],
    )
    def test_is_refused_where_money_would_appear_or_vanish(
        self, text: str, refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            entries(text)

    def test_takes_no_float(self) -> None:
        with pytest.raises(InexactNumber):
            Posting(Account.CASH, "shop", "EUR", 1.5)  # type: ignore[arg-type]

    def test_may_be_in_several_currencies_if_each_balances(self) -> None:
        """
        2026-11-01 payment In euros and yen
          cash/shop        10.00 EUR
          receivable/shop -10.00 EUR
          cash/shop        7 JPY
          receivable/shop -7 JPY
        """
        (both,) = ledger_of(self.test_may_be_in_several_currencies_if_each_balances)
        assert len(both.postings) == 4


class TestBalances:
    def test_are_by_account_customer_and_currency(self) -> None:
        """
        2026-11-01 issued Invoice 1
          receivable/shop  119.00 EUR
          revenue/shop    -100.00 EUR
          tax/shop         -19.00 EUR

        2026-11-02 issued Invoice 2
          receivable/mail 5 JPY
          revenue/mail   -5 JPY

        2026-11-10 payment Payment of invoice 1
          cash/shop        119.00 EUR
          receivable/shop -119.00 EUR
        """
        assert balances(ledger_of(self.test_are_by_account_customer_and_currency)) == {
            (Account.REVENUE, "shop", "EUR"): -100,
            (Account.TAX, "shop", "EUR"): -19,
            (Account.CASH, "shop", "EUR"): 119,
            (Account.RECEIVABLE, "mail", "JPY"): 5,
            (Account.REVENUE, "mail", "JPY"): -5,
        }


class TestTrialBalance:
    def test_has_what_happened_before_a_moment(self) -> None:
        """
        2026-11-01 issued Invoice 1
          receivable/shop  119.00 EUR
          revenue/shop    -100.00 EUR
          tax/shop         -19.00 EUR

        2026-11-10 payment Part of it
          cash/shop        50.00 EUR
          receivable/shop -50.00 EUR

        2026-11-11 payment Too late
          cash/shop        1.00 EUR
          receivable/shop -1.00 EUR
        """
        ledger = ledger_of(self.test_has_what_happened_before_a_moment)
        rows = trial_balance(ledger, as_of=datetime(2026, 11, 11, tzinfo=UTC))
        assert [
            (row.account.value, *map(plain, (row.debit, row.credit, row.balance))) for row in rows
        ] == [
            ("receivable", "119", "50", "69"),
            ("cash", "50", "0", "50"),
            ("revenue", "0", "100", "-100"),
            ("tax", "0", "19", "-19"),
        ]


class TestStatement:
    def test_says_what_is_owed_after_each_entry(self) -> None:
        """
        2026-11-01 credit_granted Welcome
          promotion/shop 20.00 EUR
          credit/shop   -20.00 EUR

        2026-11-02 issued Invoice 1
          receivable/shop  100.00 EUR
          revenue/shop    -100.00 EUR

        2026-11-02 credit_applied Credit pays invoice 1
          credit/shop      20.00 EUR
          receivable/shop -20.00 EUR

        2026-11-05 issued Invoice 2
          receivable/mail 7.00 EUR
          revenue/mail   -7.00 EUR

        2026-11-10 payment Payment of invoice 1
          cash/shop        80.00 EUR
          receivable/shop -80.00 EUR
        """
        ledger = ledger_of(self.test_says_what_is_owed_after_each_entry)
        assert [
            (f"{line.occurred_at:%d}", line.description, plain(line.amount), plain(line.balance))
            for line in customer_statement(ledger, "shop", "EUR")
        ] == [
            ("02", "Invoice 1", "100", "100"),
            ("02", "Credit pays invoice 1", "-20", "80"),
            ("10", "Payment of invoice 1", "-80", "0"),
        ]


amounts = st.integers(1, 10**40).map(lambda cents: Decimal(cents).scaleb(-2))


@st.composite
def happenings(draw: st.DrawFn) -> JournalEntry | None:
    customer = draw(st.sampled_from(["shop", "mail"]))
    event = Event(customer, draw(st.sampled_from(["EUR", "USD"])), NEW_YEAR, "something")
    kind, amount = draw(st.sampled_from(EntryKind)), draw(amounts)
    if kind is EntryKind.ISSUED:
        return issued(event, gross=amount, tax=draw(st.sampled_from([Decimal(0), amount])))
    return moved(kind, event, amount, promotional=draw(st.booleans()))


class TestWhateverHappens:
    @given(st.lists(happenings(), max_size=30))
    def test_all_accounts_together_are_zero(self, ledger: list[JournalEntry | None]) -> None:
        made = [entry for entry in ledger if entry is not None]
        rows = trial_balance(made, as_of=datetime(2028, 1, 1, tzinfo=UTC))
        for currency in ("EUR", "USD"):
            own = [row.balance for row in rows if row.currency == currency]
            assert sum_amounts(own) == 0
        for (account, customer, currency), amount in balances(made).items():
            if account is Account.RECEIVABLE:
                assert customer_statement(made, customer, currency)[-1].balance == amount

    def test_of_nothing_nothing_is_posted(self) -> None:
        event = Event("shop", "EUR", NEW_YEAR, "nothing")
        assert issued(event, gross=Decimal(0), tax=Decimal(0)) is None
        assert moved(EntryKind.PAYMENT, event, Decimal(0)) is None
