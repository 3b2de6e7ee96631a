"""What is posted, when, and that it is posted once."""

from decimal import Decimal

import pytest

from billing.core.ledger import Account, EntryKind
from billing.models import CreditGrant, Invoice, JournalEntry, Posting
from billing.operations.ledger import (
    InvoiceNotIssued,
    post_issued,
    post_payment,
    post_write_off,
)
from billing.queries.ledger import posted_to
from tests.billing.money import credit_note, draft, grant, issue, pay, subscribed, wallet_of
from tests.billing.timeline import NOVEMBER, at


def ledger(*, of: Invoice | None = None) -> list[str]:
    """Every entry in the order in which it was made, as people write it."""
    entries = JournalEntry.objects.order_by("recorded_at")
    if of is not None:
        entries = entries.filter(invoice=of)
    return [
        f"{entry.kind}: "
        + ", ".join(
            f"{posting.account} {posting.amount:.2f}"
            for posting in entry.postings.order_by("position")
        )
        for entry in entries
    ]


@pytest.mark.usefixtures("inside")
class TestIssuing:
    def test_makes_the_customer_owe_revenue_and_tax(self) -> None:
        issue(draft(subscribed(), "60", "40", tax_percent="19"))
        assert ledger() == ["issued: receivable 119.00, revenue -100.00, tax -19.00"]

    def test_takes_the_tax_out_of_prices_that_include_it(self) -> None:
        issue(draft(subscribed(), "119", tax_inclusive=True, tax_percent="0"))
        assert ledger() == ["issued: receivable 119.00, revenue -119.00"]

    def test_of_nothing_posts_nothing(self) -> None:
        assert post_issued(issue(draft(subscribed(), "0"))) is None
        assert ledger() == []

    def test_of_a_draft_is_refused(self) -> None:
        with pytest.raises(InvoiceNotIssued, match="finalize it first"):
            post_issued(draft(subscribed(), "1"))

    def test_twice_is_once(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        assert post_issued(invoice) == post_issued(invoice)
        assert len(ledger()) == 1


@pytest.mark.usefixtures("inside")
class TestPaying:
    def test_lowers_what_is_open(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        pay(invoice, "30")
        assert posted_to(invoice)[Account.RECEIVABLE] == Decimal(70)

    def test_too_much_becomes_credit(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        payment = pay(invoice, "130")
        post_payment(payment)
        assert ledger()[1:] == [
            "payment: cash 130.00, receivable -130.00",
            "surplus: receivable 30.00, credit -30.00",
        ]
        assert CreditGrant.objects.get().amount == 30

    def test_what_was_given_up_is_recovered(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        post_write_off(invoice, as_of=at(11, 20))
        post_write_off(invoice, as_of=at(11, 21))
        pay(invoice, "40")
        assert ledger()[1:] == [
            "write_off: write_off 100.00, receivable -100.00",
            "payment: cash 40.00, receivable -40.00",
            "recovery: receivable 40.00, write_off -40.00",
        ]


@pytest.mark.usefixtures("inside")
class TestCreditNotes:
    def test_take_off_what_is_open(self) -> None:
        invoice = issue(draft(subscribed(), "100", tax_percent="19"))
        credit_note(invoice, "10", tax_percent="19")
        assert ledger(of=invoice)[1:] == ["issued: receivable -11.90, revenue 10.00, tax 1.90"]

    def test_return_what_paid_last_first(self) -> None:
        subscription = subscribed()
        first = grant(subscription.customer, "20", priority=1)
        second = grant(subscription.customer, "30", priority=2)
        wallet_of(subscription.customer, "10")
        invoice = issue(draft(subscription, "100"))
        pay(invoice, "40")
        note = credit_note(invoice, "65")
        assert (
            ledger(of=invoice)[-4:]
            == [
                "issued: receivable -65.00, revenue 65.00",
                "wallet_returned: receivable 10.00, wallet -10.00",
                "credit_returned: receivable 30.00, credit -30.00",
                "credit_returned: receivable 20.00, credit -20.00",
                "surplus: receivable 5.00, credit -5.00",
            ][-4:]
        )
        post_issued(note)
        assert [each.movements.count() for each in (first, second)] == [2, 2]
        assert posted_to(invoice)[Account.RECEIVABLE] == 0


def test_kinds_and_accounts_fit_their_columns() -> None:
    kind, account = JournalEntry._meta.get_field("kind"), Posting._meta.get_field("account")
    assert max(map(len, EntryKind)) <= (kind.max_length or 0)
    assert max(map(len, Account)) <= (account.max_length or 0)
    assert NOVEMBER
