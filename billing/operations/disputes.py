"""Contesting a line of an issued invoice, talking about it, and ending it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import Q

from billing.core.currencies import currency_of
from billing.core.disputes import disputed_amount, may_follow, upheld_amount
from billing.models import CreditGrant, Dispute, DisputeMessage, Invoice, InvoiceLine
from billing.models.disputes import WORDS_MAX
from billing.operations.credit import NewGrant, grant_credit
from billing.operations.invoices import locked_invoice
from billing.operations.ledger import DocumentNotIssued
from billing.operations.mailing import mail_answer

MESSAGES_MAX: Final = 200


class LineNotDisputable(Exception):
    """The invoice is void, or a credit note: nothing of it is asked of the customer."""


class DisputeEnded(Exception):
    """It is resolved or withdrawn, and nothing is added to it."""


class DisputeFull(Exception):
    """As much was said as one dispute holds."""


class WordsMissing(ValueError):
    """Nothing was said, or more than a message holds."""


class NoteNotOfDispute(ValueError):
    """The note is no issued note on the disputed invoice, or the dispute was not upheld."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What somebody says. `id` is chosen by who writes it: sent twice to a dispute, or to open one
    of a line, it is said once."""

    id: UUID
    author: str
    words: str


@dataclass(frozen=True, slots=True)
class Decision:
    """How a dispute ends. `amount` is for one upheld in part, with tax; `as_credit` grants the
    customer what is upheld as credit for the next invoice."""

    outcome: str
    amount: Decimal | None = None
    as_credit: bool = False


def open_dispute(line: InvoiceLine, reason: str, saying: Saying, *, as_of: datetime) -> Dispute:
    """Contest a line of an issued invoice or debit note. While one is pending for the line, that
    one is returned. Raises DocumentNotIssued, LineNotDisputable and WordsMissing."""
    words = _usable(saying.words)
    with transaction.atomic():
        invoice = locked_invoice(line.invoice)
        _require_disputable(invoice)
        own_id = uuid5(line.pk, str(saying.id))
        same = Q(pk=own_id) | Q(line=line, status__in=_PENDING)
        known = Dispute.objects.filter(same).first()
        if known is not None:
            return known
        amount = disputed_amount(
            line.amount,
            line.tax_percent,
            currency_of(invoice.currency),
            tax_inclusive=invoice.tax_inclusive,
        )
        dispute = Dispute.objects.create(
            id=own_id, invoice=invoice, line=line, reason=reason, amount=amount,
            opened_by=saying.author, opened_at=as_of, changed_at=as_of,
        )  # fmt: skip
        _write(dispute, DisputeMessage.Side.CUSTOMER, saying, words, as_of=as_of)
        return dispute


def say_as_customer(dispute: Dispute, saying: Saying, *, as_of: datetime) -> Dispute:
    """The customer's next words; an answered dispute waits for the operator again. Raises
    DisputeEnded, DisputeFull and WordsMissing."""
    return _say(dispute, DisputeMessage.Side.CUSTOMER, saying, Dispute.Status.OPEN, as_of=as_of)


def answer_dispute(dispute: Dispute, saying: Saying, *, as_of: datetime) -> Dispute:
    """The operator's answer, which the customer is told of. Raises as say_as_customer."""
    return _say(dispute, DisputeMessage.Side.OPERATOR, saying, Dispute.Status.ANSWERED, as_of=as_of)


def withdraw_dispute(dispute: Dispute, *, by: str, as_of: datetime) -> Dispute:
    """The customer gives it up. One that is withdrawn is returned as it is. Raises DisputeEnded."""
    with transaction.atomic():
        locked = _locked(dispute)
        if locked.status == Dispute.Status.WITHDRAWN:
            return locked
        _move(locked, Dispute.Status.WITHDRAWN, as_of=as_of)
        locked.ended_at, locked.ended_by = as_of, by
        locked.save(update_fields=["status", "changed_at", "ended_at", "ended_by"])
        return locked


def resolve_dispute(
    dispute: Dispute, decision: Decision, saying: Saying, *, as_of: datetime
) -> Dispute:
    """Decide it, with words for the customer. Decided alike before, it is returned as it is. Raises
    DisputeEnded, UpheldAmountNotUsable, WordsMissing, and CreditNotGrantable where nothing that
    could be credit is upheld."""
    words = _usable(saying.words)
    with transaction.atomic():
        invoice = locked_invoice(dispute.invoice)
        locked = _locked(dispute)
        if _is_said(locked, saying):
            return locked
        currency = currency_of(invoice.currency)
        upheld = upheld_amount(decision.outcome, locked.amount, decision.amount, currency)
        _move(locked, Dispute.Status.RESOLVED, as_of=as_of)
        locked.outcome, locked.upheld = decision.outcome, upheld
        locked.ended_at, locked.ended_by = as_of, saying.author
        if decision.as_credit:
            locked.grant = _credit(invoice, locked, upheld, as_of=as_of)
        locked.save()
        _write(locked, DisputeMessage.Side.OPERATOR, saying, words, as_of=as_of)
        return locked


def settle_dispute(dispute: Dispute, note: Invoice, *, as_of: datetime) -> Dispute:
    """Say which note on the invoice an upheld dispute led to; said again, the last counts. Raises
    NoteNotOfDispute."""
    with transaction.atomic():
        locked = _locked(dispute)
        if not locked.upheld:
            raise NoteNotOfDispute("it was not upheld, so that no note follows from it")
        if note.refers_to_id != locked.invoice_id or not note.is_issued:
            raise NoteNotOfDispute("choose an issued note on the invoice that is disputed")
        locked.note, locked.changed_at = note, as_of
        locked.save(update_fields=["note", "changed_at"])
        return locked


_PENDING: Final = (Dispute.Status.OPEN, Dispute.Status.ANSWERED)


def _say(
    dispute: Dispute, side: str, saying: Saying, status: Dispute.Status, *, as_of: datetime
) -> Dispute:
    words = _usable(saying.words)
    with transaction.atomic():
        locked = _locked(dispute)
        if _is_said(locked, saying):
            return locked
        if not locked.is_pending:
            raise DisputeEnded(f"it is {locked.status}; dispute the line anew")
        if locked.messages.count() >= MESSAGES_MAX:
            raise DisputeFull(f"it holds {MESSAGES_MAX} messages; decide it, or talk elsewhere")
        if locked.status != status:
            _move(locked, status, as_of=as_of)
        locked.changed_at = as_of
        locked.save(update_fields=["status", "changed_at"])
        _write(locked, side, saying, words, as_of=as_of)
        return locked


def _move(dispute: Dispute, status: Dispute.Status, *, as_of: datetime) -> None:
    if not may_follow(dispute.status, status):
        raise DisputeEnded(f"it is {dispute.status}, and stays so")
    dispute.status, dispute.changed_at = status, as_of


def _write(dispute: Dispute, side: str, saying: Saying, words: str, *, as_of: datetime) -> None:
    written = DisputeMessage.objects.create(
        id=_own_id(dispute, saying), dispute=dispute, side=side, author=saying.author,
        words=words, written_at=as_of,
    )  # fmt: skip
    if side == DisputeMessage.Side.OPERATOR:
        mail_answer(dispute, written, as_of=as_of)


def _is_said(dispute: Dispute, saying: Saying) -> bool:
    return dispute.messages.filter(pk=_own_id(dispute, saying)).exists()


def _own_id(dispute: Dispute, saying: Saying) -> UUID:
    return uuid5(dispute.pk, str(saying.id))


def _locked(dispute: Dispute) -> Dispute:
    """Nobody else changes it until this transaction ends."""
    return Dispute.objects.select_for_update(of=("self",)).get(pk=dispute.pk)


def _usable(words: str) -> str:
    kept = words.replace("\r\n", "\n").strip()
    if not kept or len(kept) > WORDS_MAX or "\x00" in kept:
        raise WordsMissing(f"write 1 to {WORDS_MAX} characters")
    return kept


def _require_disputable(invoice: Invoice) -> None:
    if not invoice.is_issued:
        raise DocumentNotIssued("it has no number yet; it is still being checked")
    if invoice.issued_as == Invoice.Kind.CREDIT_NOTE:
        raise LineNotDisputable("a credit note asks nothing of the customer; dispute its invoice")
    if invoice.status == Invoice.Status.VOID:
        raise LineNotDisputable("the invoice was taken back in full")


def _credit(invoice: Invoice, dispute: Dispute, upheld: Decimal, *, as_of: datetime) -> CreditGrant:
    note = f"Disputed: {dispute.line.label} on {invoice.reference}"
    new = NewGrant(invoice.customer, "promotional", invoice.currency, upheld, note=note[:200])
    return grant_credit(new, as_of=as_of)
