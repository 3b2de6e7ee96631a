"""An invoice is charged once, whatever the processor and the network do."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import product

import pytest
from django.db import IntegrityError, transaction

from billing.collecting import due_for_reconciling, reconcile, submit
from billing.core.collecting import TRANSITIONS, State
from billing.fake_stripe.faults import Faults
from billing.models import JournalEntry, Payment, PaymentAttempt
from billing.operations import record_payment, void_invoice
from billing.operations.collecting import (
    AttemptOpen,
    NoPaymentMethod,
    begin_attempt,
    collect,
    mark_submitted,
)
from billing.operations.lifecycle import InvoiceNotPayable
from billing.payment_tasks import reconcile_tenant
from billing.queries.collecting import attempts_in_doubt, to_collect
from tenants.scope import tenant_scope
from tests.billing.payments.conftest import Billed, Fake

pytestmark = pytest.mark.django_db
Way = PaymentAttempt.Way


def begun(
    billed: Billed, way: PaymentAttempt.Way = Way.OFF_SESSION, method: str = ""
) -> PaymentAttempt:
    with tenant_scope(billed.tenant_id):
        if way == Way.OFF_SESSION:
            return collect(billed.invoice, as_of=billed.as_of)
        return begin_attempt(billed.invoice, way, method_id=method, as_of=billed.as_of)


def submitted(billed: Billed, attempt: PaymentAttempt) -> PaymentAttempt:
    done = submit(billed.tenant_id, attempt.pk, as_of=billed.as_of)
    assert done is not None
    return done


def found_out(billed: Billed, attempt: PaymentAttempt, after: timedelta) -> PaymentAttempt:
    reconcile(billed.tenant_id, attempt.pk, as_of=billed.as_of + after)
    with tenant_scope(billed.tenant_id):
        return PaymentAttempt.objects.get(pk=attempt.pk)


class TestCollecting:
    def test_charges_what_is_open_and_records_it(self, billed: Billed, fake: Fake) -> None:
        billed.card()
        attempt = submitted(billed, begun(billed))
        assert attempt.state == "succeeded"
        assert billed.read().status == "paid"
        (charge,) = fake.charges()
        assert (charge["amount"], charge["currency"]) == (1_200, "eur")
        with tenant_scope(billed.tenant_id):
            payment = Payment.objects.get()
            assert (payment.reference, payment.amount) == (attempt.intent_id, Decimal(12))
            assert JournalEntry.objects.filter(kind="payment").count() == 1

    def test_needs_a_saved_method(self, billed: Billed) -> None:
        with pytest.raises(NoPaymentMethod):
            begun(billed)

    def test_begins_nothing_beside_what_is_under_way(self, billed: Billed) -> None:
        billed.card()
        first = begun(billed)
        with pytest.raises(AttemptOpen) as refused:
            begun(billed, Way.CHECKOUT)
        assert refused.value.attempt == first

    def test_begins_nothing_for_what_is_paid(self, billed: Billed) -> None:
        billed.card()
        submitted(billed, begun(billed))
        with pytest.raises(InvoiceNotPayable):
            begun(billed)

    def test_asks_once_where_two_workers_have_the_same(self, billed: Billed, fake: Fake) -> None:
        billed.card()
        attempt = begun(billed)
        for _ in range(3):
            submitted(billed, attempt)
        assert len(fake.charges()) == 1

    def test_takes_what_is_left_of_an_invoice(self, billed: Billed, fake: Fake) -> None:
        billed.card()
        with tenant_scope(billed.tenant_id):
            record_payment(
                billed.invoice, Decimal(5), received_on=billed.as_of.date(), reference="transfer",
                as_of=billed.as_of,
            )  # fmt: skip
        submitted(billed, begun(billed))
        assert [each["amount"] for each in fake.charges()] == [700]
        assert billed.read().status == "paid"

    def test_gives_up_before_asking_where_less_is_open_by_then(
        self, billed: Billed, fake: Fake
    ) -> None:
        billed.card()
        attempt = begun(billed)
        with tenant_scope(billed.tenant_id):
            record_payment(
                billed.invoice, Decimal(5), received_on=billed.as_of.date(), reference="transfer",
                as_of=billed.as_of,
            )  # fmt: skip
        assert submitted(billed, attempt).state == "failed"
        assert fake.charges() == []

    def test_of_new_invoices_begins_by_itself(self, billed: Billed, fake: Fake) -> None:
        billed.card()
        reconcile_tenant(billed.tenant_id, as_of=billed.as_of)
        assert billed.read().status == "paid"
        reconcile_tenant(billed.tenant_id, as_of=billed.as_of)
        assert len(fake.charges()) == 1

    def test_leaves_what_was_declined_to_dunning(self, billed: Billed) -> None:
        billed.card("pm_card_chargeCustomerFail")
        attempt = submitted(billed, begun(billed))
        assert attempt.state == "failed"
        assert attempt.failure_code
        with tenant_scope(billed.tenant_id):
            assert to_collect() == []
        assert billed.read().status == "finalized"


class TestDeclined:
    def test_cannot_succeed_later(self, billed: Billed, fake: Fake) -> None:
        """The payment is cancelled, so a second attempt is the only one that can charge."""
        billed.card("pm_card_chargeCustomerFail")
        first = submitted(billed, begun(billed))
        billed.card()
        second = submitted(billed, begun(billed))
        assert (first.state, second.state) == ("failed", "succeeded")
        assert first.key != second.key
        assert len(fake.charges()) == 1

    def test_for_want_of_the_customers_word_says_so(self, billed: Billed) -> None:
        billed.card("pm_card_authenticationRequired")
        attempt = submitted(billed, begun(billed))
        assert (attempt.state, attempt.failure_code) == ("failed", "authentication_required")


class TestUnknown:
    @pytest.fixture(autouse=True)
    def _card(self, billed: Billed) -> None:
        billed.card()

    def test_is_found_where_only_the_answer_was_lost(self, billed: Billed, fake: Fake) -> None:
        fake.fail(answer_lost_percent=100)
        attempt = submitted(billed, begun(billed))
        assert attempt.state == "unknown"
        assert billed.read().status == "finalized"
        with tenant_scope(billed.tenant_id):
            assert list(attempts_in_doubt()) == [attempt]
        fake.fail()
        assert found_out(billed, attempt, timedelta(minutes=5)).state == "succeeded"
        assert len(fake.charges()) == 1

    def test_is_asked_again_with_the_same_key_where_the_request_was_lost(
        self, billed: Billed, fake: Fake
    ) -> None:
        fake.fail(request_lost_percent=100)
        attempt = submitted(billed, begun(billed))
        assert attempt.state == "unknown"
        fake.fail()
        assert found_out(billed, attempt, timedelta(minutes=5)).state == "succeeded"
        assert len(fake.charges()) == 1

    def test_blocks_another_attempt(self, billed: Billed, fake: Fake) -> None:
        fake.fail(request_lost_percent=100)
        submitted(billed, begun(billed))
        with pytest.raises(AttemptOpen):
            begun(billed, Way.CHECKOUT)

    def test_of_a_stored_error_is_given_up_after_a_day_where_nothing_was_charged(
        self, billed: Billed, fake: Fake
    ) -> None:
        fake.fail(stored_500_percent=100, seed=_seed_of("STORED_500_UNDONE", begun(billed)))
        with tenant_scope(billed.tenant_id):
            attempt = PaymentAttempt.objects.get()
        assert submitted(billed, attempt).state == "unknown"
        fake.fail()
        # The stored answer is replayed for a day, whatever is true.
        assert found_out(billed, attempt, timedelta(hours=5)).state == "unknown"
        fake.forward(timedelta(hours=23, minutes=30))
        assert found_out(billed, attempt, timedelta(hours=23, minutes=30)).state == "unknown"
        fake.forward(timedelta(hours=2))
        ended = found_out(billed, attempt, timedelta(hours=25, minutes=30))
        assert (ended.state, ended.failure_code) == ("failed", "not_received")
        assert fake.charges() == []
        assert submitted(billed, begun(billed)).state == "succeeded"
        assert len(fake.charges()) == 1

    def test_of_a_stored_error_is_found_where_it_was_charged(
        self, billed: Billed, fake: Fake
    ) -> None:
        fake.fail(stored_500_percent=100, seed=_seed_of("STORED_500_DONE", begun(billed)))
        with tenant_scope(billed.tenant_id):
            attempt = PaymentAttempt.objects.get()
        assert submitted(billed, attempt).state == "unknown"
        fake.fail()
        assert found_out(billed, attempt, timedelta(minutes=5)).state == "succeeded"
        assert len(fake.charges()) == 1

    def test_of_a_worker_that_was_killed_is_looked_for(self, billed: Billed, fake: Fake) -> None:
        attempt = begun(billed)
        with tenant_scope(billed.tenant_id):
            mark_submitted(attempt, as_of=billed.as_of)
            assert due_for_reconciling(as_of=billed.as_of + timedelta(minutes=1)) == []
            later = billed.as_of + timedelta(minutes=3)
            assert due_for_reconciling(as_of=later) == [attempt.pk]
        reconcile_tenant(billed.tenant_id, as_of=later)
        assert billed.read().status == "paid"
        assert len(fake.charges()) == 1

    def test_of_a_task_that_never_came_is_asked_for(self, billed: Billed, fake: Fake) -> None:
        begun(billed)
        reconcile_tenant(billed.tenant_id, as_of=billed.as_of + timedelta(minutes=3))
        assert len(fake.charges()) == 1


class TestMoneyThatComesAllTheSame:
    def test_is_credit_where_the_invoice_was_paid_meanwhile(
        self, billed: Billed, fake: Fake
    ) -> None:
        billed.card()
        fake.fail(answer_lost_percent=100)
        attempt = submitted(billed, begun(billed))
        fake.fail()
        with tenant_scope(billed.tenant_id):
            record_payment(
                billed.invoice, Decimal(12), received_on=billed.as_of.date(), reference="transfer",
                as_of=billed.as_of,
            )  # fmt: skip
        assert found_out(billed, attempt, timedelta(minutes=5)).state == "succeeded"
        with tenant_scope(billed.tenant_id):
            assert Payment.objects.get(reference__startswith="pi_").to_credit == Decimal(12)

    def test_is_credit_where_the_invoice_was_taken_back(self, billed: Billed, fake: Fake) -> None:
        billed.card()
        fake.fail(answer_lost_percent=100)
        attempt = submitted(billed, begun(billed))
        fake.fail()
        with tenant_scope(billed.tenant_id):
            void_invoice(billed.invoice, "billed by mistake", as_of=billed.as_of)
        assert found_out(billed, attempt, timedelta(minutes=5)).state == "succeeded"
        with tenant_scope(billed.tenant_id):
            assert Payment.objects.get().to_credit == Decimal(12)


@pytest.fixture
def stored(billed: Billed) -> Iterator[PaymentAttempt]:
    billed.card()
    attempt = begun(billed)
    with tenant_scope(billed.tenant_id):
        yield attempt


class TestAttempt:
    @pytest.mark.parametrize(("before", "after"), list(product(State, State)))
    def test_goes_where_the_core_says(
        self, stored: PaymentAttempt, before: State, after: State
    ) -> None:
        for state in _WAYS[before]:
            _put_into(stored, state)
        allowed = after in TRANSITIONS[before] or before == after
        try:
            with transaction.atomic():
                _put_into(stored, after)
        except IntegrityError:
            assert not allowed
        else:
            assert allowed

    @pytest.mark.parametrize("change", [{"amount": 1}, {"currency": "USD"}, {"number": 7}], ids=str)
    def test_never_asks_for_something_else(
        self, stored: PaymentAttempt, change: dict[str, object]
    ) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            PaymentAttempt.objects.filter(pk=stored.pk).update(**change)

    def test_is_one_at_a_time(self, stored: PaymentAttempt) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            PaymentAttempt.objects.create(
                invoice=stored.invoice, number=2, way=Way.CHECKOUT, amount=1, currency="EUR",
                created_at=stored.created_at,
            )  # fmt: skip


# How an attempt that was created comes to each state.
_WAYS = {
    State.CREATED: (),
    State.SUBMITTED: (State.SUBMITTED,),
    State.REQUIRES_ACTION: (State.SUBMITTED, State.REQUIRES_ACTION),
    State.UNKNOWN: (State.SUBMITTED, State.UNKNOWN),
    State.SUCCEEDED: (State.SUBMITTED, State.SUCCEEDED),
    State.FAILED: (State.FAILED,),
}


def _put_into(attempt: PaymentAttempt, state: State) -> None:
    ended = attempt.created_at if state in {State.SUCCEEDED, State.FAILED} else None
    PaymentAttempt.objects.filter(pk=attempt.pk).update(state=state, ended_at=ended)


def _seed_of(fault: str, attempt: PaymentAttempt) -> int:
    """A seed with which the fake fails the attempt's first request that way."""
    for seed in range(1, 1_000):
        faults = Faults(stored_500_percent=100, seed=seed)
        if faults.of_request("/v1/payment_intents", attempt.key, 0).name == fault:
            return seed
    raise AssertionError(f"no seed gives {fault}")
