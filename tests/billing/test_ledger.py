"""What is posted, when, and that it is posted once."""

from decimal import Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from billing.core import ledger
from billing.core.ledger import Account, EntryKind
from billing.core.periods import Period
from billing.models import CreditGrant, Invoice, JournalEntry, Payment, Posting
from billing.operations.ledger import (
    DocumentNotIssued,
    post_issued,
    post_payment,
    post_write_off,
)
from billing.queries.ledger import customer_statement, posted_to, revenue_by_month, trial_balance
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.money import (
    credit_note,
    draft,
    grant,
    issue,
    pay,
    postings,
    subscribed,
    wallet_of,
)
from tests.billing.timeline import JANUARY, NOVEMBER, OCTOBER, at


def end_of_transaction() -> None:
    """What a deferred constraint waits for."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.usefixtures("inside")
class TestIssuing:
    def test_makes_the_customer_owe_revenue_and_tax(self) -> None:
        issue(draft(subscribed(), "60", "40", tax_percent="19"))
        assert postings() == ["issued: receivable 119.00, revenue -100.00, tax -19.00"]

    def test_takes_the_tax_out_of_prices_that_include_it(self) -> None:
        issue(draft(subscribed(), "119", tax_inclusive=True, tax_percent="0"))
        assert postings() == ["issued: receivable 119.00, revenue -119.00"]

    def test_of_nothing_posts_nothing(self) -> None:
        assert post_issued(issue(draft(subscribed(), "0"))) is None
        assert postings() == []

    def test_of_a_draft_is_refused(self) -> None:
        with pytest.raises(DocumentNotIssued, match="finalize it first"):
            post_issued(draft(subscribed(), "1"))

    def test_twice_is_once(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        assert post_issued(invoice) == post_issued(invoice)
        assert len(postings()) == 1


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
        assert postings()[1:] == [
            "payment: cash 130.00, receivable -130.00",
            "surplus: receivable 30.00, credit -30.00",
        ]
        assert CreditGrant.objects.get().amount == 30

    def test_what_was_given_up_is_recovered(self) -> None:
        invoice = issue(draft(subscribed(), "100"))
        post_write_off(invoice, as_of=at(11, 20))
        post_write_off(invoice, as_of=at(11, 21))
        pay(invoice, "40")
        assert postings()[1:] == [
            "write_off: write_off 100.00, receivable -100.00",
            "payment: cash 40.00, receivable -40.00",
            "recovery: receivable 40.00, write_off -40.00",
        ]


@pytest.mark.usefixtures("inside")
class TestCreditNotes:
    def test_take_off_what_is_open(self) -> None:
        invoice = issue(draft(subscribed(), "100", tax_percent="19"))
        credit_note(invoice, "10", tax_percent="19")
        assert postings(of=invoice)[1:] == ["issued: receivable -11.90, revenue 10.00, tax 1.90"]

    def test_return_what_paid_last_first(self) -> None:
        subscription = subscribed()
        first = grant(subscription.customer, "20", priority=1)
        second = grant(subscription.customer, "30", priority=2)
        wallet_of(subscription.customer, "10")
        invoice = issue(draft(subscription, "100"))
        pay(invoice, "40")
        note = credit_note(invoice, "65")
        assert (
            postings(of=invoice)[-4:]
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


@pytest.mark.usefixtures("inside")
class TestReports:
    def stored(self) -> list[ledger.JournalEntry]:
        """The whole ledger as the core sees it."""
        entries = JournalEntry.objects.order_by("occurred_at", "recorded_at")
        return [
            ledger.JournalEntry(
                EntryKind(entry.kind),
                entry.occurred_at,
                entry.description,
                tuple(
                    ledger.Posting(
                        Account(posting.account),
                        str(posting.customer_id),
                        posting.currency,
                        posting.amount,
                    )
                    for posting in entry.postings.order_by("position")
                ),
            )
            for entry in entries
        ]

    def test_say_what_the_core_folds_from_all_postings(self) -> None:
        subscription, other = subscribed(), subscribed("mail-ltd")
        grant(subscription.customer, "20", "promotional")
        wallet_of(other.customer, "10")
        invoice = issue(draft(subscription, "100", tax_percent="19"))
        pay(invoice, "50")
        credit_note(invoice, "10", tax_percent="19")
        post_write_off(issue(draft(other, "35")), as_of=at(12, 24))
        entries = self.stored()
        for as_of in (NOVEMBER, at(11, 20), at(12, 30)):
            assert trial_balance(as_of=as_of) == ledger.trial_balance(entries, as_of=as_of)
        for customer in (subscription.customer, other.customer):
            statement = customer_statement(customer, "EUR", Period(JANUARY, at(12, 31)))
            folded = ledger.customer_statement(entries, str(customer.pk), "EUR")
            assert statement.closing == folded[-1].balance
            assert sorted(line.description for line in statement.lines) == sorted(
                line.description for line in folded
            )

    def test_a_statement_goes_on_from_what_was_owed_before(self) -> None:
        subscription = subscribed()
        issue(draft(subscription, "100"), as_of=OCTOBER)
        invoice = issue(draft(subscription, "20"))
        pay(invoice, "5")
        statement = customer_statement(subscription.customer, "EUR", Period(NOVEMBER, at(12, 1)))
        assert (statement.opening, statement.closing) == (Decimal(100), Decimal(115))
        assert [(line.description, line.amount, line.balance) for line in statement.lines] == [
            ("Invoice 2", Decimal(20), Decimal(120)),
            ("Payment bank-1 of Invoice 2", Decimal(-5), Decimal(115)),
        ]
        nothing = customer_statement(subscription.customer, "EUR", Period(at(12, 1), at(12, 2)))
        assert (nothing.opening, nothing.lines, nothing.closing) == (Decimal(115), [], Decimal(115))

    def test_revenue_is_of_the_month_that_it_was_in_the_tenants_zone(self) -> None:
        subscription = subscribed()
        issue(draft(subscription, "100", tax_percent="19"), as_of=at(10, 31, 23, 30))
        issue(draft(subscription, "7"), as_of=at(10, 31, 22))
        berlin = ZoneInfo("Europe/Berlin")
        assert [
            (f"{each.month:%Y-%m}", each.amount)
            for each in revenue_by_month(zone=berlin, since=JANUARY)
        ] == [("2026-11", Decimal(100)), ("2026-10", Decimal(7))]


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_workers_post_one_entry(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = issue(draft(subscribed(), "100"))
            payment = Payment.objects.create(
                invoice=invoice,
                amount=Decimal(130),
                received_on=NOVEMBER.date(),
                reference="bank-1",
            )
        posted = at_once(tenant.pk, lambda: post_payment(payment), lambda: post_payment(payment))
        assert posted[0] == posted[1]
        with tenant_scope(tenant.pk):
            assert len(postings()) == 3
            assert CreditGrant.objects.get().amount == 30

    def test_a_payment_and_giving_up_never_both_close_an_invoice(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = issue(draft(subscribed(), "100"))

        def paid() -> None:
            pay(Invoice.objects.get(pk=invoice.pk), "100")

        def given_up() -> None:
            post_write_off(Invoice.objects.get(pk=invoice.pk), as_of=at(12, 1))

        at_once(tenant.pk, paid, given_up)
        with tenant_scope(tenant.pk):
            posted = posted_to(invoice)
            assert posted[Account.RECEIVABLE] == 0
            assert posted.get(Account.WRITE_OFF, 0) == 0


@pytest.mark.usefixtures("inside")
class TestTheDatabase:
    def entry(
        self,
        *amounts: tuple[str, str],
        customer: Customer | None = None,
        account: str = "cash",
    ) -> None:
        owner = customer or subscribed().customer
        entry = JournalEntry.objects.create(
            kind="payment",
            source_id=uuid4(),
            customer=owner,
            occurred_at=NOVEMBER,
            description="Planted",
        )
        for position, (amount, currency) in enumerate(amounts):
            Posting.objects.create(
                entry=entry,
                position=position,
                account=account,
                customer=owner,
                amount=Decimal(amount),
                currency=currency,
            )

    @pytest.mark.parametrize(
        ("amounts", "refusal"),
        [
            ((("1", "EUR"), ("-0.99", "EUR")), "does not sum to zero: 0.0100 EUR left over"),
            ((("1", "EUR"), ("-1", "USD")), "does not sum to zero"),
            ((), "fewer than two postings"),
        ],
    )
    def test_refuses_an_entry_that_does_not_balance(
        self, amounts: tuple[tuple[str, str], ...], refusal: str
    ) -> None:
        with pytest.raises(IntegrityError, match=refusal):
            self.planted(*amounts)

    @transaction.atomic
    def planted(self, *amounts: tuple[str, str]) -> None:
        self.entry(*amounts)
        end_of_transaction()

    def test_refuses_a_posting_that_comes_later_and_alone(self) -> None:
        issue(draft(subscribed(), "100"))
        with pytest.raises(IntegrityError, match="does not sum to zero"):
            self.added(Posting.objects.all()[0])

    @transaction.atomic
    def added(self, posting: Posting) -> None:
        posting.pk, posting.position = uuid4(), 9
        posting.save(force_insert=True)
        end_of_transaction()

    def test_refuses_to_change_or_remove_what_was_posted(self) -> None:
        issue(draft(subscribed(), "100"))
        for rows in (JournalEntry.objects.all(), Posting.objects.all()):
            with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
                rows.update(customer_id=uuid4())
            with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
                rows._raw_delete(rows.db)

    def test_refuses_to_overdraw_a_wallet(self) -> None:
        customer = subscribed().customer
        wallet_of(customer, "10")
        with pytest.raises(IntegrityError, match="overdrawn by 0"), transaction.atomic():
            self.entry(("10.01", "EUR"), customer=customer, account="wallet")

    def test_has_room_for_every_kind_and_account(self) -> None:
        kind, account = JournalEntry._meta.get_field("kind"), Posting._meta.get_field("account")
        assert max(map(len, EntryKind)) <= (kind.max_length or 0)
        assert max(map(len, Account)) <= (account.max_length or 0)


@pytest.mark.django_db(transaction=True)
class TestTheEndOfATransaction:
    def test_is_when_an_entry_has_to_balance(self, tenant: Tenant) -> None:
        with pytest.raises(IntegrityError, match="fewer than two"), tenant_scope(tenant.pk):
            TestTheDatabase().entry(("1", "EUR"))
        with tenant_scope(tenant.pk):
            assert not JournalEntry.objects.exists()
