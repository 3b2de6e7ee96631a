"""Grants and wallets: what they pay, once, and never more than there is."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from billing.core.currencies import UnknownCurrency
from billing.models import CreditGrant, CreditMovement, Invoice, JournalEntry, TopUp, Wallet
from billing.operations import (
    CreditApplied,
    CreditNotGrantable,
    GrantVoided,
    NewGrant,
    TopUpSettled,
    apply_credit,
    expire_credit,
    grant_credit,
    record_top_up_failed,
    record_top_up_paid,
    request_due_top_ups,
    request_top_up,
    void_grant,
)
from billing.price_codes import UnknownPriceCode
from billing.queries.credit import CreditLeft, credit_left, grants_left, wallet_balance
from tenants.models import Tenant
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
from tests.billing.timeline import NOVEMBER, OCTOBER, at


def left(*grants: CreditGrant) -> list[Decimal]:
    return [amount for _, amount in grants_left(grants)]


@pytest.mark.usefixtures("inside")
class TestGranting:
    def test_paid_credit_came_as_cash_and_promotional_credit_did_not(self) -> None:
        customer = subscribed().customer
        grant(customer, "20")
        grant(customer, "5", "promotional")
        assert postings() == [
            "credit_granted: cash 20.00, credit -20.00",
            "credit_granted: promotion 5.00, credit -5.00",
        ]

    @pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
    def test_what_cannot_be_paid_is_refused(self, amount: str) -> None:
        with pytest.raises(CreditNotGrantable):
            grant(subscribed().customer, amount)

    def test_what_would_have_expired_already_is_refused(self) -> None:
        with pytest.raises(CreditNotGrantable, match="expired already"):
            grant(subscribed().customer, "1", expires_at=OCTOBER)

    def test_for_a_price_that_no_plan_has_is_refused(self) -> None:
        subscription = subscribed()
        draft(subscription, "60", codes=("cpu-time",))
        with pytest.raises(UnknownPriceCode, match=r"the code 'cpu'; there are .*cpu-time"):
            grant(subscription.customer, "1", price_codes=("cpu-time", "cpu"))
        assert not CreditGrant.objects.exists()

    def test_no_currency_in_use_is_refused(self) -> None:
        new = NewGrant(subscribed().customer, "paid", "EUX", Decimal(1))
        with pytest.raises(UnknownCurrency):
            grant_credit(new, as_of=OCTOBER)


@pytest.mark.usefixtures("inside")
class TestPaying:
    def test_goes_from_grants_to_the_wallet(self) -> None:
        subscription = subscribed()
        paid = grant(subscription.customer, "20")
        gift = grant(subscription.customer, "5", "promotional")
        wallet_of(subscription.customer, "100")
        invoice = draft(subscription, "60", tax_percent="10")
        assert apply_credit(invoice, as_of=NOVEMBER) == CreditApplied(Decimal(25), Decimal(41))
        assert left(paid, gift) == [0, 0]
        assert wallet_balance(subscription.customer, "EUR") == 59
        invoice.refresh_from_db()
        assert (invoice.credit_applied, invoice.payable) == (Decimal(66), Decimal(0))
        assert postings()[-3:] == [
            "credit_applied: credit 5.00, receivable -5.00",
            "credit_applied: credit 20.00, receivable -20.00",
            "wallet_applied: wallet 41.00, receivable -41.00",
        ]

    def test_twice_is_once(self) -> None:
        subscription = subscribed()
        one = grant(subscription.customer, "20")
        wallet_of(subscription.customer, "5")
        invoice = draft(subscription, "60")
        first = apply_credit(invoice, as_of=NOVEMBER)
        assert apply_credit(invoice, as_of=at(11, 9)) == first
        assert left(one) == [0]
        assert invoice.credit_applied == 25

    def test_takes_only_credit_of_the_invoices_currency_and_customer(self) -> None:
        subscription, other = subscribed(), subscribed("mail-ltd")
        grant(other.customer, "20")
        grant_credit(NewGrant(subscription.customer, "paid", "USD", Decimal(9)), as_of=OCTOBER)
        assert apply_credit(draft(subscription, "60"), as_of=NOVEMBER).total == 0

    def test_keeps_to_the_prices_in_scope(self) -> None:
        subscription = subscribed()
        invoice = draft(subscription, "60", "10", tax_percent="19", codes=("", "cpu-time"))
        one = grant(subscription.customer, "50", price_codes=("cpu-time",))
        assert apply_credit(invoice, as_of=NOVEMBER).grants == Decimal("11.90")
        assert left(one) == [Decimal("38.10")]

    def test_needs_no_credit_for_a_credit_note(self) -> None:
        subscription = subscribed()
        invoice = issue(draft(subscription, "60"))
        one = grant(subscription.customer, "50")
        credit_note(invoice, "10")
        assert left(one) == [50]

    def test_of_a_debit_note_is_like_that_of_an_invoice(self) -> None:
        subscription = subscribed()
        invoice = issue(draft(subscription, "60"))
        one = grant(subscription.customer, "50")
        note = draft(subscription, "10", kind="debit_note", refers_to=invoice)
        assert apply_credit(note, as_of=NOVEMBER).total == 10
        assert left(one) == [40]


@pytest.mark.usefixtures("inside")
class TestEnding:
    def test_expiry_keeps_what_was_paid_and_takes_a_gift_back(self) -> None:
        subscription = subscribed()
        grant(subscription.customer, "20", expires_at=NOVEMBER)
        grant(subscription.customer, "5", "promotional", expires_at=NOVEMBER)
        grant(subscription.customer, "7", expires_at=at(12, 1))
        assert expire_credit(as_of=NOVEMBER - timedelta(seconds=1)) == 0
        assert expire_credit(as_of=NOVEMBER) == 2
        assert expire_credit(as_of=NOVEMBER) == 0
        assert sorted(postings()[-2:]) == [
            "credit_lapsed: credit 20.00, breakage -20.00",
            "credit_lapsed: credit 5.00, promotion -5.00",
        ]

    def test_expiry_takes_what_a_credit_note_brought_back_later(self) -> None:
        subscription = subscribed()
        one = grant(subscription.customer, "20", expires_at=at(11, 10))
        invoice = issue(draft(subscription, "20"))
        assert expire_credit(as_of=at(11, 11)) == 0
        credit_note(invoice, "8")
        assert left(one) == [8]
        assert expire_credit(as_of=at(11, 12)) == 1
        assert left(one) == [0]

    def test_voiding_takes_what_is_left_and_says_why(self) -> None:
        subscription = subscribed()
        one = grant(subscription.customer, "20")
        issue(draft(subscription, "15"))
        voided = void_grant(one, "granted twice", as_of=at(11, 2))
        assert (voided.voided_at, voided.void_reason) == (at(11, 2), "granted twice")
        assert postings()[-1] == "credit_voided: credit 5.00, cash -5.00"
        assert apply_credit(draft(subscription, "9"), as_of=at(11, 3)).total == 0
        with pytest.raises(GrantVoided, match="granted twice"):
            void_grant(one, "again", as_of=at(11, 4))


@pytest.mark.usefixtures("inside")
class TestTopUps:
    def test_are_asked_for_once_below_the_threshold(self) -> None:
        subscription = subscribed()
        wallet = wallet_of(subscription.customer, "100", threshold="50")
        issue(draft(subscription, "50"))
        assert not wallet.top_ups.filter(state="requested").exists()
        issue(draft(subscription, "1"))
        issue(draft(subscription, "1"))
        asked = wallet.top_ups.get(state="requested")
        assert asked.amount == 100
        assert request_top_up(wallet, as_of=NOVEMBER) == asked

    def test_fill_the_wallet_once(self) -> None:
        subscription = subscribed()
        wallet_of(subscription.customer, "100", threshold="50")
        issue(draft(subscription, "60"))
        asked = TopUp.objects.get(state="requested")
        record_top_up_paid(asked, as_of=NOVEMBER)
        record_top_up_paid(asked, as_of=NOVEMBER)
        assert wallet_balance(subscription.customer, "EUR") == 140
        assert postings()[-1] == "top_up: cash 100.00, wallet -100.00"
        with pytest.raises(TopUpSettled):
            record_top_up_failed(asked, "card expired", as_of=NOVEMBER)

    def test_ask_again_where_one_was_not_enough(self) -> None:
        customer = subscribed().customer
        wallet = wallet_of(customer, "10", threshold="25")
        asked = request_top_up(wallet, as_of=NOVEMBER)
        assert asked is not None
        record_top_up_paid(asked, as_of=NOVEMBER)
        assert wallet_balance(customer, "EUR") == 20
        assert wallet.top_ups.filter(state="requested").count() == 1

    def test_stop_after_one_failed_until_they_are_switched_on_again(self) -> None:
        subscription = subscribed()
        wallet = wallet_of(subscription.customer, "100", threshold="50")
        issue(draft(subscription, "60"))
        failed = record_top_up_failed(TopUp.objects.get(state="requested"), "card", as_of=NOVEMBER)
        assert (failed.state, failed.reason) == ("failed", "card")
        assert request_due_top_ups(as_of=NOVEMBER) == 0
        issue(draft(subscription, "10"))
        assert not wallet.top_ups.filter(state="requested").exists()
        Wallet.objects.update(enabled=True)
        assert request_due_top_ups(as_of=NOVEMBER) == 1
        assert request_due_top_ups(as_of=NOVEMBER) == 0
        with pytest.raises(TopUpSettled):
            record_top_up_paid(failed, as_of=NOVEMBER)


@pytest.mark.usefixtures("inside")
class TestCreditLeft:
    def test_is_what_can_still_be_spent_by_currency(self) -> None:
        subscription = subscribed()
        customer = subscription.customer
        grant(customer, "20", expires_at=at(11, 10))
        grant(customer, "30")
        wallet_of(customer, "7")
        grant_credit(NewGrant(customer, "paid", "USD", Decimal(9)), as_of=OCTOBER)
        assert credit_left(customer, as_of=NOVEMBER) == [
            CreditLeft("EUR", Decimal(50), Decimal(7)),
            CreditLeft("USD", Decimal(9), Decimal(0)),
        ]
        assert credit_left(customer, as_of=at(11, 10))[0].total == 37

    def test_holds_what_was_paid_too_much(self) -> None:
        subscription = subscribed()
        pay(issue(draft(subscription, "20")), "50")
        assert credit_left(subscription.customer, as_of=NOVEMBER)[0].total == 30
        assert issue(draft(subscription, "40")).payable == 10


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_invoices_never_spend_a_grant_or_wallet_twice(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            subscription = subscribed()
            one = grant(subscription.customer, "50")
            wallet = wallet_of(subscription.customer, "20", threshold="15")
            first, second = draft(subscription, "60"), draft(subscription, "40")
        paid = at_once(
            tenant.pk,
            lambda: apply_credit(first, as_of=NOVEMBER),
            lambda: apply_credit(second, as_of=NOVEMBER),
        )
        assert sum(each.grants for each in paid) == 50
        assert sum(each.wallet for each in paid) == 20
        with tenant_scope(tenant.pk):
            assert left(one) == [0]
            assert wallet_balance(subscription.customer, "EUR") == 0
            assert wallet.top_ups.filter(state="requested").count() == 1

    def test_one_invoice_is_paid_once(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            subscription = subscribed()
            one = grant(subscription.customer, "50")
            invoice = draft(subscription, "30")
        work = lambda: apply_credit(Invoice.objects.get(pk=invoice.pk), as_of=NOVEMBER)  # noqa: E731
        assert at_once(tenant.pk, work, work) == [CreditApplied(Decimal(30), Decimal(0))] * 2
        with tenant_scope(tenant.pk):
            assert left(one) == [20]

    def test_a_top_up_is_credited_once_and_a_grant_lapses_once(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            subscription = subscribed()
            grant(subscription.customer, "50", expires_at=NOVEMBER)
            wallet = wallet_of(subscription.customer, "20", threshold="30")
            asked = request_top_up(wallet, as_of=NOVEMBER)
        assert asked is not None
        at_once(
            tenant.pk,
            lambda: record_top_up_paid(asked, as_of=NOVEMBER),
            lambda: record_top_up_paid(asked, as_of=NOVEMBER),
        )
        lapsed = at_once(
            tenant.pk, lambda: expire_credit(as_of=NOVEMBER), lambda: expire_credit(as_of=NOVEMBER)
        )
        assert sum(lapsed) == 1
        with tenant_scope(tenant.pk):
            assert wallet_balance(subscription.customer, "EUR") == 40
            assert JournalEntry.objects.filter(kind="credit_lapsed").count() == 1


@pytest.mark.usefixtures("inside")
class TestTheDatabase:
    def test_refuses_to_spend_more_than_was_granted(self) -> None:
        subscription = subscribed()
        one = grant(subscription.customer, "50")
        invoice = draft(subscription, "60")
        with pytest.raises(IntegrityError, match=r"there would be 50\.0100 used"):
            self.move(one, "50.01", kind="applied", invoice=invoice)
        with pytest.raises(IntegrityError, match="used"):
            self.move(one, "-1", kind="returned", invoice=invoice, note=invoice)

    def move(self, one: CreditGrant, amount: str, **fields: object) -> None:
        with transaction.atomic():
            CreditMovement.objects.create(
                grant=one, amount=Decimal(amount), occurred_at=NOVEMBER, **fields
            )

    def test_keeps_grants_and_movements_as_they_are(self) -> None:
        subscription = subscribed()
        grant(subscription.customer, "50")
        issue(draft(subscription, "10"))
        for rows, change in (
            (CreditGrant.objects.all(), {"amount": 60}),
            (CreditMovement.objects.all(), {"amount": 1}),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                rows.update(**change)
            with pytest.raises(IntegrityError), transaction.atomic():
                rows._raw_delete(rows.db)

    def test_never_takes_back_that_a_top_up_was_paid(self) -> None:
        wallet_of(subscribed().customer, "50")
        with pytest.raises(IntegrityError, match="only be settled, once"), transaction.atomic():
            TopUp.objects.update(state="requested", settled_at=None)
        with pytest.raises(IntegrityError), transaction.atomic():
            Wallet.objects.update(currency="USD")
