"""Disputes in the admin: what customers contest, the answer, and the decision."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.admin_invoices import link_to
from billing.amounts import written_amount
from billing.core.disputes import PENDING, UpheldAmountNotUsable
from billing.models import Dispute, DisputeMessage, Invoice
from billing.models.disputes import WORDS_MAX
from billing.operations import (
    CreditNotGrantable,
    Decision,
    DisputeEnded,
    DisputeFull,
    NoteNotOfDispute,
    Saying,
    WordsMissing,
    answer_dispute,
    resolve_dispute,
    settle_dispute,
)
from tenants.admin_pages import (
    ActionsAdmin,
    ReadOnlyInline,
    action,
    ago,
    display,
    form_page,
)
from tenants.models import User
from tenants.refusals import sentence

_REFUSED = (
    CreditNotGrantable,
    DisputeEnded,
    DisputeFull,
    NoteNotOfDispute,
    UpheldAmountNotUsable,
    WordsMissing,
)
_BADGES = {
    "open": "danger",
    "answered": "warning",
    "resolved": "success",
    "withdrawn": "info",
}


class AnswerForm(forms.Form):
    """Words for the customer. The form carries its own id, so that sent twice it is said once."""

    saying = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    words = forms.CharField(
        max_length=WORDS_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text="Plain text. The customer reads it in the portal, below the line.",
    )


class DecisionForm(AnswerForm):
    """How a dispute ends."""

    outcome = forms.ChoiceField(choices=Dispute.Outcome.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        max_digits=50,
        decimal_places=4,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
        label="Upheld in part: how much, with tax",
    )
    as_credit = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Grant what is upheld as credit for the next invoice",
        help_text="Leave it off where you correct the usage or take the invoice back: the credit "
        "note then gives the money back.",
    )
    field_order = ("saying", "outcome", "amount", "words", "as_credit")


class NoteForm(forms.Form):
    """Which note an upheld dispute led to."""

    note = forms.ModelChoiceField(Invoice.objects.none(), widget=UnfoldAdminSelectWidget)

    def __init__(self, notes: "QuerySet[Invoice]", *args: Any) -> None:
        super().__init__(*args)
        field = self.fields["note"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = notes


class PendingFilter(admin.SimpleListFilter):
    """Those that wait for somebody."""

    title = "waits for"
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("us", "our answer"), ("customer", "the customer"), ("ended", "nobody: ended")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        wanted = {"us": ["open"], "customer": ["answered"], "ended": ["resolved", "withdrawn"]}
        return queryset.filter(status__in=wanted.get(self.value() or "", Dispute.Status.values))


class MessageInline(ReadOnlyInline):
    model = DisputeMessage
    fields = ("written_at", "side", "author", "words")
    readonly_fields = fields
    verbose_name_plural = "what was said"
    ordering = ("written_at", "id")


@admin.register(Dispute)
class DisputeAdmin(ActionsAdmin):
    """Those that wait for an answer first, the oldest of them at the top."""

    empty_hint = (
        "Where a customer contests a line of an invoice in the portal, it is listed here and "
        "waits for your answer. Collecting that invoice pauses meanwhile."
    )
    list_display = (
        "shown_line",
        "customer",
        "shown_invoice",
        "reason",
        "shown_amount",
        "state",
        "age",
    )
    list_filter = (PendingFilter, "status", "reason", "outcome", "invoice__customer")
    list_select_related = ("line", "invoice__customer", "note", "grant")
    search_fields = ("invoice__number", "invoice__customer__name", "line__label", "opened_by")
    fields = (
        ("shown_line", "shown_invoice", "customer"),
        ("reason", "shown_amount", "state"),
        ("opened_by", "opened_at", "changed_at"),
        ("outcome", "shown_upheld", "ended_by", "ended_at"),
        ("shown_note", "shown_grant"),
        "next_steps",
    )
    inlines = (MessageInline,)
    actions_detail = ("answer_one", "resolve_one", "settle_one")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Dispute]":
        waiting = Case(
            When(status="open", then=Value(0)),
            When(status="answered", then=Value(1)),
            default=Value(2),
            output_field=IntegerField(),
        )
        return super().get_queryset(request).order_by(waiting, "opened_at", "pk")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        named = (group if isinstance(group, tuple) else (group,) for group in self.fields)
        return tuple(name for group in named for name in group)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        dispute = self.get_object(request, object_id)
        if dispute is None:
            return []
        wanted = {"answer_one", "resolve_one"} if dispute.is_pending else set()
        if dispute.upheld and dispute.note_id is None:
            wanted.add("settle_one")
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in offered if each.method.__name__ in wanted]

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(super().has_change_permission(request))

    @action(description="Answer", permissions=["decide"], url_path="answer")
    def answer_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def answer(dispute: Dispute, data: dict[str, Any]) -> str:
            answer_dispute(dispute, _saying(request, data), as_of=timezone.now())
            return "Answered."

        return self._ask(
            *(request, object_id, AnswerForm, answer),
            title="Answer the customer",
            text="The dispute stays undecided, and collecting the invoice paused, until you "
            "resolve it or the customer withdraws it.",
            submit="Send the answer",
        )

    @action(description="Resolve", permissions=["decide"], url_path="resolve")
    def resolve_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def resolve(dispute: Dispute, data: dict[str, Any]) -> str:
            amount = data["amount"]
            decision = Decision(
                data["outcome"],
                None if amount is None else Decimal(amount),
                as_credit=data["as_credit"],
            )
            ended = resolve_dispute(dispute, decision, _saying(request, data), as_of=timezone.now())
            return f"Resolved: {Dispute.Outcome(ended.outcome).label}."

        return self._ask(
            *(request, object_id, DecisionForm, resolve),
            title="Resolve the dispute",
            text="It ends with your words, and collecting goes on. A decision is not changed "
            "afterwards.",
            submit="Resolve it",
        )

    @action(description="Name the credit note", permissions=["decide"], url_path="settle")
    def settle_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def settle(dispute: Dispute, data: dict[str, Any]) -> str:
            settle_dispute(dispute, data["note"], as_of=timezone.now())
            return f"Settled by {data['note']}."

        dispute = self.get_object(request, object_id)
        notes = Invoice.objects.filter(
            refers_to=None if dispute is None else dispute.invoice_id, number__isnull=False
        ).exclude(refers_to=None)

        return self._ask(
            *(request, object_id, lambda data: NoteForm(notes, data), settle),
            title="Which note did it lead to?",
            text="The customer sees the note below the disputed line, and the dispute on the note.",
            submit="Name it",
        )

    def _ask(
        self,
        request: HttpRequest,
        object_id: str,
        form_class: Callable[[Any], forms.Form],
        work: Callable[[Dispute, dict[str, Any]], str],
        **page: str,
    ) -> HttpResponse:
        dispute: Dispute | None = self.get_object(request, object_id)
        if dispute is None:
            return HttpResponseRedirect(reverse("admin:billing_dispute_changelist"))
        form = form_class(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            try:
                said = work(dispute, form.cleaned_data)
            except _REFUSED as refusal:
                form.add_error(None, sentence(refusal))
            else:
                self.log_change(request, dispute, said)
                messages.success(request, said)
                return HttpResponseRedirect(
                    reverse("admin:billing_dispute_change", args=[dispute.pk])
                )
        objects = [f"{dispute} of {dispute.invoice.customer}: {_amount(dispute, dispute.amount)}"]
        return form_page(self, request, form, objects=objects, **page)

    @display(description="Line")
    def shown_line(self, dispute: Dispute) -> str:
        name = dispute.line.application_name
        return f"{dispute.line.label} of {name}" if name else dispute.line.label

    @display(description="Invoice", ordering="invoice__number")
    def shown_invoice(self, dispute: Dispute) -> SafeString:
        return link_to(dispute.invoice)

    @display(description="Customer", ordering="invoice__customer__name")
    def customer(self, dispute: Dispute) -> str:
        return dispute.invoice.billed_to

    @display(description="Contested", ordering="amount")
    def shown_amount(self, dispute: Dispute) -> str:
        return _amount(dispute, dispute.amount)

    @display(description="Upheld")
    def shown_upheld(self, dispute: Dispute) -> str:
        return "-" if dispute.upheld is None else _amount(dispute, dispute.upheld)

    @display(description="Status", ordering="status", label=_BADGES)
    def state(self, dispute: Dispute) -> str:
        return dispute.status

    @display(description="Opened", ordering="opened_at")
    def age(self, dispute: Dispute) -> str:
        return ago(dispute.opened_at, timezone.now())

    @display(description="Credit note")
    def shown_note(self, dispute: Dispute) -> SafeString | str:
        return "-" if dispute.note is None else link_to(dispute.note)

    @display(description="Credit granted")
    def shown_grant(self, dispute: Dispute) -> str:
        return "-" if dispute.grant is None else _amount(dispute, dispute.grant.amount)

    @display(description="What follows")
    def next_steps(self, dispute: Dispute) -> SafeString | str:
        if dispute.status in PENDING:
            return "Answer or resolve it. The customer is asked to pay only the rest meanwhile."
        if not dispute.upheld:
            return "Nothing: the line stays as it was billed."
        if dispute.note_id or dispute.grant_id:
            return "Nothing: the money is given back as said above."
        return format_html(
            'Give it back: <a class="text-primary-600 dark:text-primary-500" href="{}">correct the '
            "usage</a> and restate the invoice, or take {} back. Then name the credit note here.",
            reverse("admin:metering_correction_add"),
            link_to(dispute.invoice),
        )


def _saying(request: HttpRequest, data: dict[str, Any]) -> Saying:
    author = request.user.email if isinstance(request.user, User) else ""
    return Saying(data["saying"], author, data["words"])


def _amount(dispute: Dispute, amount: Decimal) -> str:
    return written_amount(amount, dispute.invoice.currency)
