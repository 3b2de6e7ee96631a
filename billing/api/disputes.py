"""Disputes of invoice lines: opening, answering, deciding."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db.models import QuerySet
from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.fields import DecimalText, Exact
from billing.api.invoices import visible_invoice
from billing.core.disputes import UpheldAmountNotUsable
from billing.models import Dispute, DisputeMessage, InvoiceLine
from billing.models.disputes import WORDS_MAX
from billing.operations import (
    CreditNotGrantable,
    Decision,
    DisputeEnded,
    DisputeFull,
    DocumentNotIssued,
    LineNotDisputable,
    Saying,
    WordsMissing,
    answer_dispute,
    open_dispute,
    resolve_dispute,
    say_as_customer,
    withdraw_dispute,
)
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Taken, example
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

disputes = Resources()

Reason = Literal["quantity", "price", "twice", "not_ours", "service", "other"]
Status = Literal["open", "answered", "resolved", "withdrawn"]
Outcome = Literal["upheld", "upheld_in_part", "rejected"]
Words = Annotated[
    str, StringConstraints(min_length=1, max_length=WORDS_MAX, pattern=r"^[^\x00]*\S[^\x00]*$")
]
Author = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]

_CONFLICTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (DocumentNotIssued, "invoice-not-issued"),
    (LineNotDisputable, "line-not-disputable"),
    (DisputeEnded, "dispute-ended"),
    (DisputeFull, "dispute-full"),
)


class DisputeIn(Taken):
    """A customer's objection, passed on by your program. `line` is the line's position on the
    invoice, from 1."""

    model_config = example(
        {"line": 1, "reason": "quantity", "words": "We used less.", "author": "ada@shop.example"}
    )

    line: Annotated[int, Field(ge=1, le=1_000_000)]
    reason: Reason
    words: Words
    author: Annotated[Author, Field(description="Who contests it.")]


class MessageIn(Taken):
    """What one side says. A customer's words open an answered dispute again."""

    model_config = example(
        {"side": "operator", "words": "Look at 3 October.", "author": "op@host.example"}
    )

    side: Literal["customer", "operator"]
    words: Words
    author: Author


class DecisionIn(Taken):
    """How it ends. `amount` is asked for what is upheld in part, and is with tax; `as_credit`
    grants the customer what is upheld as credit for the next invoice."""

    model_config = example(
        {
            "outcome": "upheld_in_part",
            "amount": "12.50",
            "as_credit": True,
            "words": "Half of it was a fault of ours.",
            "author": "op@host.example",
        }
    )

    outcome: Outcome
    amount: Annotated[Decimal, DecimalText(12, 4)] | None = None
    as_credit: bool = False
    words: Words
    author: Author


class WithdrawalIn(Taken):
    model_config = example({"author": "ada@shop.example"})

    author: Author


class MessageOut(Given):
    side: Literal["customer", "operator"]
    author: str
    words: str
    written_at: Instant


class DisputeOut(Given):
    """`amount` is what is contested, the line with its tax. `upheld` is what of it the customer was
    right about; `note_id` and `grant_id` are how it was given back."""

    id: UUID
    invoice_id: UUID
    customer_id: UUID
    line: int
    label: str
    reason: Reason
    status: Status
    amount: Exact
    currency: str
    outcome: Outcome | None
    upheld: Exact | None
    note_id: UUID | None
    grant_id: UUID | None
    opened_at: Instant
    changed_at: Instant
    ended_at: Instant | None


class DisputeWithMessagesOut(DisputeOut):
    messages: list[MessageOut]


class DisputeFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None
    invoice: Annotated[UUID | None, Field(description="Those of this invoice.")] = None
    status: Annotated[Status | None, Field(description="Those that are it now.")] = None


@disputes.reading(
    "/disputes", scope="invoices:read", answers=Page[DisputeOut], summary="List disputes"
)
def list_disputes(request: ApiRequest, filters: Query[DisputeFilters]) -> Page[DisputeOut]:
    wanted = {
        "invoice__customer": filters.customer,
        "invoice": filters.invoice,
        "status": filters.status,
    }
    rows = _visible(request.caller).filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    return page_of(rows, filters, _shown, by="opened_at", newest_first=True)


@disputes.reading(
    "/disputes/{uuid:dispute_id}",
    scope="invoices:read",
    answers=DisputeWithMessagesOut,
    summary="Read a dispute with what was said",
)
def get_dispute(request: ApiRequest, dispute_id: UUID) -> DisputeWithMessagesOut:
    return _with_messages(_found(request.caller, dispute_id))


@disputes.creating(
    "/invoices/{uuid:invoice_id}/disputes",
    scope="invoices:write",
    answers=DisputeWithMessagesOut,
    summary="Contest a line of an invoice; while one is pending for it, that one",
)
def create_dispute(
    request: ApiRequest, invoice_id: UUID, dispute: DisputeIn
) -> DisputeWithMessagesOut:
    invoice = visible_invoice(request.caller, invoice_id)
    line = InvoiceLine.objects.filter(invoice=invoice, position=dispute.line).first()
    if line is None:
        raise unprocessable(("line", "the invoice has no line at this position"))
    saying = _saying(request, dispute.author, dispute.words)
    with _refusals():
        opened = open_dispute(line, dispute.reason, saying, as_of=request.as_of)
    return _with_messages(opened)


@disputes.acting(
    "/disputes/{uuid:dispute_id}/messages",
    scope="invoices:write",
    answers=DisputeWithMessagesOut,
    summary="Say something in a dispute",
)
def answer_a_dispute(
    request: ApiRequest, dispute_id: UUID, message: MessageIn
) -> DisputeWithMessagesOut:
    dispute = _found(request.caller, dispute_id)
    say = answer_dispute if message.side == "operator" else say_as_customer
    with _refusals():
        say(dispute, _saying(request, message.author, message.words), as_of=request.as_of)
    return _with_messages(_found(request.caller, dispute_id))


@disputes.acting(
    "/disputes/{uuid:dispute_id}/resolve",
    scope="invoices:write",
    answers=DisputeWithMessagesOut,
    summary="Decide a dispute",
)
def resolve_a_dispute(
    request: ApiRequest, dispute_id: UUID, decision: DecisionIn
) -> DisputeWithMessagesOut:
    dispute = _found(request.caller, dispute_id)
    saying = _saying(request, decision.author, decision.words)
    decided = Decision(decision.outcome, decision.amount, as_credit=decision.as_credit)
    with _refusals():
        resolve_dispute(dispute, decided, saying, as_of=request.as_of)
    return _with_messages(_found(request.caller, dispute_id))


@disputes.acting(
    "/disputes/{uuid:dispute_id}/withdraw",
    scope="invoices:write",
    answers=DisputeWithMessagesOut,
    summary="Give a dispute up",
)
def withdraw_a_dispute(
    request: ApiRequest, dispute_id: UUID, withdrawal: WithdrawalIn
) -> DisputeWithMessagesOut:
    dispute = _found(request.caller, dispute_id)
    by = request.caller.signed(withdrawal.author)[:254]
    with _refusals():
        withdraw_dispute(dispute, by=by, as_of=request.as_of)
    return _with_messages(_found(request.caller, dispute_id))


def _saying(request: ApiRequest, author: str, words: str) -> Saying:
    # The request's name makes the message: sent again, it is the same one.
    name = request.headers.get("Idempotency-Key", "")
    own = uuid5(NAMESPACE_URL, f"{request.caller.key_id}/{name}")
    return Saying(own, request.caller.signed(author)[:254], words)


def _visible(caller: Caller) -> "QuerySet[Dispute]":
    own = Dispute.objects.filter(caller.own("invoice__customer"))
    return own.select_related("invoice", "line")


def _found(caller: Caller, dispute_id: UUID) -> Dispute:
    found = _visible(caller).filter(pk=dispute_id).first()
    if found is None:
        raise not_found("dispute")
    return found


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises Problem: 409 where the dispute's state is against it, 422 where the request is."""
    try:
        yield
    except WordsMissing as refusal:
        raise unprocessable(("words", str(refusal))) from refusal
    except UpheldAmountNotUsable as refusal:
        raise unprocessable(("amount", str(refusal))) from refusal
    except CreditNotGrantable as refusal:
        raise unprocessable(("as_credit", str(refusal))) from refusal
    except tuple(kind for kind, _ in _CONFLICTS) as refusal:
        name = next(name for kind, name in _CONFLICTS if isinstance(refusal, kind))
        raise conflict(name, f"{refusal}.") from refusal


def _with_messages(dispute: Dispute) -> DisputeWithMessagesOut:
    messages = [_message(each) for each in dispute.messages.order_by("written_at", "pk")]
    return DisputeWithMessagesOut(**dict(_shown(dispute)), messages=messages)


def _message(message: DisputeMessage) -> MessageOut:
    return MessageOut.model_validate(
        {name: getattr(message, name) for name in MessageOut.model_fields}
    )


def _shown(dispute: Dispute) -> DisputeOut:
    return DisputeOut.model_validate(
        {
            "id": dispute.pk,
            "invoice_id": dispute.invoice_id,
            "customer_id": dispute.invoice.customer_id,
            "line": dispute.line.position,
            "label": dispute.line.label,
            "reason": dispute.reason,
            "status": dispute.status,
            "amount": dispute.amount,
            "currency": dispute.invoice.currency,
            "outcome": dispute.outcome or None,
            "upheld": dispute.upheld,
            "note_id": dispute.note_id,
            "grant_id": dispute.grant_id,
            "opened_at": dispute.opened_at,
            "changed_at": dispute.changed_at,
            "ended_at": dispute.ended_at,
        }
    )
