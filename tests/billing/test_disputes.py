"""A customer contests a line, both sides talk, and it ends once."""

from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from billing.core.disputes import TRANSITIONS, may_follow
from billing.models import CreditGrant, Dispute, DisputeMessage, Invoice
from billing.operations import (
    Decision,
    DisputeEnded,
    DisputeFull,
    DocumentNotIssued,
    LineNotDisputable,
    NoteNotOfDispute,
    Saying,
    WordsMissing,
    answer_dispute,
    close_due,
    finalize_invoice,
    open_dispute,
    record_payment,
    resolve_dispute,
    restate_invoice,
    say_as_customer,
    settle_dispute,
    void_invoice,
    withdraw_dispute,
)
from billing.operations import disputes as operations
from billing.queries import contested, is_paused, paused_among
from tenants.refusals import constraint_of
from tests.billing.late import deliver
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

pytestmark = pytest.mark.usefixtures("inside")


def saying(words: str = "We used less.", author: str = "ada@shop.example") -> Saying:
    return Saying(uuid4(), author, words)


def issued(*, issue: bool = True) -> Invoice:
    """An invoice of 100.00 for the shop's processor time and 0.50 for its disk."""
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=10_000 * HOUR_US, disk_bytes=10**10)
    (draft,) = close_due(as_of=NOVEMBER)
    return finalize_invoice(draft, as_of=NOVEMBER) if issue else draft


def disputed(invoice: Invoice | None = None) -> Dispute:
    line = (invoice or issued()).lines.get(meter="cpu.time")
    return open_dispute(line, "quantity", saying(), as_of=at(11, 2))


def refusal(change: Any) -> str | None:
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        change()
    return constraint_of(refused.value)


class TestOpening:
    def test_contests_the_line_and_says_why(self) -> None:
        dispute = disputed()
        assert (dispute.status, dispute.amount) == ("open", Decimal(100))
        message = dispute.messages.get()
        assert (message.side, message.words) == ("customer", "We used less.")

    def test_twice_is_one_dispute(self) -> None:
        invoice = issued()
        line = invoice.lines.get(meter="cpu.time")
        said = saying()
        first = open_dispute(line, "quantity", said, as_of=at(11, 2))
        assert open_dispute(line, "price", saying("Again"), as_of=at(11, 3)) == first
        withdraw_dispute(first, by="ada@shop.example", as_of=at(11, 4))
        assert open_dispute(line, "quantity", said, as_of=at(11, 5)) == first
        assert open_dispute(line, "price", saying("Anew"), as_of=at(11, 5)) != first
        assert DisputeMessage.objects.count() == 2

    def test_needs_an_issued_invoice(self) -> None:
        draft = issued(issue=False)
        with pytest.raises(DocumentNotIssued):
            disputed(draft)

    def test_needs_one_that_asks_something_of_the_customer(self) -> None:
        invoice = issued()
        note = void_invoice(invoice, "billed twice", as_of=at(11, 2))
        for each in (invoice, note):
            with pytest.raises(LineNotDisputable):
                disputed(each)

    @pytest.mark.parametrize("words", ["", " \n", "x" * 4001, "a\x00b"])
    def test_needs_words(self, words: str) -> None:
        line = issued().lines.get(meter="cpu.time")
        with pytest.raises(WordsMissing):
            open_dispute(line, "other", saying(words), as_of=at(11, 2))
        assert not Dispute.objects.exists()


class TestTalking:
    def test_goes_to_and_fro(self) -> None:
        dispute = disputed()
        answered = answer_dispute(dispute, saying("Look at day 3."), as_of=at(11, 3))
        assert answered.status == "answered"
        again = say_as_customer(dispute, saying("We did."), as_of=at(11, 4))
        assert again.status == "open"
        assert [each.side for each in dispute.messages.all()] == [
            "customer", "operator", "customer",
        ]  # fmt: skip

    def test_says_once_what_is_sent_twice(self) -> None:
        dispute, once = disputed(), saying("Look at day 3.")
        for day in (3, 4):
            answer_dispute(dispute, once, as_of=at(11, day))
        assert dispute.messages.count() == 2

    def test_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(operations, "MESSAGES_MAX", 2)
        dispute = disputed()
        say_as_customer(dispute, saying(), as_of=at(11, 3))
        with pytest.raises(DisputeFull):
            say_as_customer(dispute, saying(), as_of=at(11, 3))

    def test_is_over_once_it_has_ended(self) -> None:
        dispute = disputed()
        ended = withdraw_dispute(dispute, by="ada@shop.example", as_of=at(11, 3))
        assert withdraw_dispute(dispute, by="eve@shop.example", as_of=at(11, 4)) == ended
        for say in (say_as_customer, answer_dispute):
            with pytest.raises(DisputeEnded):
                say(dispute, saying(), as_of=at(11, 5))


class TestResolving:
    def test_upholds_in_full_and_grants_credit_once(self) -> None:
        dispute, why = disputed(), saying("You are right.", "op@host.example")
        for day in (3, 4):
            ended = resolve_dispute(
                dispute, Decision("upheld", as_credit=True), why, as_of=at(11, day)
            )
        assert (ended.upheld, ended.ended_by) == (Decimal(100), "op@host.example")
        grant = CreditGrant.objects.get()
        assert (grant, grant.amount) == (ended.grant, Decimal(100))
        assert "CPU time" in grant.note

    def test_upholds_in_part(self) -> None:
        part = Decision("upheld_in_part", Decimal("12.50"))
        ended = resolve_dispute(disputed(), part, saying(), as_of=at(11, 3))
        assert (ended.outcome, ended.upheld) == ("upheld_in_part", Decimal("12.5"))
        assert not CreditGrant.objects.exists()

    def test_happens_once(self) -> None:
        dispute = disputed()
        resolve_dispute(dispute, Decision("rejected"), saying(), as_of=at(11, 3))
        with pytest.raises(DisputeEnded):
            resolve_dispute(dispute, Decision("upheld"), saying(), as_of=at(11, 3))
        with pytest.raises(DisputeEnded):
            withdraw_dispute(dispute, by="ada@shop.example", as_of=at(11, 4))

    def test_names_the_note_that_it_led_to(self) -> None:
        invoice = issued()
        dispute = disputed(invoice)
        resolve_dispute(dispute, Decision("upheld"), saying(), as_of=at(11, 3))
        note = void_invoice(invoice, "disputed", as_of=at(11, 4))
        assert settle_dispute(dispute, note, as_of=at(11, 4)).note == note
        assert note.settles.get() == dispute

    def test_names_no_other_invoice(self) -> None:
        invoice = issued()
        dispute = disputed(invoice)
        with pytest.raises(NoteNotOfDispute):
            settle_dispute(dispute, invoice, as_of=at(11, 3))
        resolve_dispute(dispute, Decision("upheld"), saying(), as_of=at(11, 3))
        with pytest.raises(NoteNotOfDispute):
            settle_dispute(dispute, invoice, as_of=at(11, 3))


class TestWhatIsToBePaid:
    def test_is_what_nobody_contests(self) -> None:
        invoice = issued()
        whole = invoice.open_amount
        assert (contested(invoice).undisputed, is_paused(invoice)) == (whole, False)
        dispute = disputed(invoice)
        assert contested(invoice).disputed == 100
        assert contested(invoice).undisputed == whole - 100
        assert is_paused(invoice)
        assert paused_among([invoice]) == {invoice.pk}
        withdraw_dispute(dispute, by="ada@shop.example", as_of=at(11, 3))
        assert (contested(invoice).undisputed, is_paused(invoice)) == (whole, False)

    def test_is_nothing_where_the_rest_is_paid(self) -> None:
        invoice = issued()
        disputed(invoice)
        record_payment(
            invoice, Decimal(50), received_on=at(11, 3).date(), reference="b", as_of=at(11, 3)
        )
        invoice.refresh_from_db()
        assert contested(invoice).undisputed == 0

    def test_may_be_of_a_debit_note(self) -> None:
        invoice = issued()
        app = invoice.lines.get(meter="cpu.time").application
        assert app is not None
        deliver(app, at(10, 6), cpu_us=900 * HOUR_US, received_at=at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        assert open_dispute(note.lines.get(), "twice", saying(), as_of=at(11, 6)).amount == 9


class TestTheDatabase:
    @pytest.mark.parametrize(("before", "after"), [*product(TRANSITIONS, TRANSITIONS)])
    def test_lets_a_dispute_go_the_ways_of_the_core(self, before: str, after: str) -> None:
        dispute = disputed()

        def go(status: str) -> None:
            ended: dict[str, Any] = {"ended_at": at(11, 3)} if status == "resolved" else {}
            if status == "resolved":
                ended |= {"outcome": "rejected", "upheld": 0}
            Dispute.objects.filter(pk=dispute.pk).update(status=status, **ended)

        if before != "open":
            go(before)
        if before == after or may_follow(before, after):
            go(after)
            return
        assert refusal(lambda: go(after)) in {"dispute_transition", "dispute_resolved_with_outcome"}

    def test_keeps_what_was_said_and_contested(self) -> None:
        dispute = disputed()
        own = Dispute.objects.filter(pk=dispute.pk)
        assert refusal(lambda: own.update(amount=1)) == "dispute_is_kept"
        assert refusal(lambda: own._raw_delete(own.db)) == "dispute_is_kept"
        said = DisputeMessage.objects.all()
        assert refusal(lambda: said.update(words="other")) == "dispute_message_is_kept"
        assert refusal(lambda: said._raw_delete(said.db)) == "dispute_message_is_kept"

    def test_refuses_a_line_of_another_invoice(self) -> None:
        invoice = issued()
        line = invoice.lines.get(meter="cpu.time")
        other = UUID(int=1)
        wrong = Dispute(
            invoice_id=other, line=line, reason="other", amount=1, opened_at=NOVEMBER,
            changed_at=NOVEMBER,
        )  # fmt: skip
        assert refusal(wrong.save) == "dispute_of_issued_line"
