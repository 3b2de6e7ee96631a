"""Recording bank transfers: a statement is read and matched, and a person confirms."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from billing.admin_invoice_asking import InvoiceQuestions, to_list
from billing.amounts import written_amount
from billing.bank_statements import BYTES_MAX, StatementNotReadable, transfers_in
from billing.core.bank_matching import Confidence, Transfer
from billing.models import Invoice
from billing.operations.bank_transfers import (
    Matched,
    match_transfers,
    open_invoices,
    record_transfer,
)
from billing.operations.lifecycle import InvoiceNotPayable, PaymentNotUsable
from tenants.admin_pages import action, form_page, in_a_tenant
from tenants.models import User
from tenants.refusals import sentence


class StatementForm(forms.Form):
    """What the bank gives out."""

    file = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="CAMT.053 (XML) or CSV, 1 MB at most.",
    )
    pasted = forms.CharField(
        required=False,
        max_length=BYTES_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        label="or pasted",
        help_text="A CSV's first row names its columns: date, reference, amount; payer, currency "
        "and id where there are.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        file = data.get("file")
        if file is not None and file.size > BYTES_MAX:
            raise forms.ValidationError(f"A statement has {BYTES_MAX:,} bytes at most; split it.")
        data["content"] = file.read() if file is not None else data.get("pasted", "").encode()
        if not data["content"].strip():
            raise forms.ValidationError("Choose a file, or paste a statement.")
        return data


class BankActions(InvoiceQuestions):
    """For the invoices' admin."""

    actions_list = ("bank_statement",)

    def has_bank_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and self.has_change_permission(request)

    @action(
        description="Record bank transfers",
        icon="account_balance",
        permissions=["bank"],
        url_path="bank-statement",
    )
    def bank_statement(self, request: HttpRequest) -> HttpResponse:
        if "statement" in request.POST:
            return self._confirmed(request)
        form = StatementForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                content = form.cleaned_data["content"]
                transfers = transfers_in(content, currency=_currency(request))
            except StatementNotReadable as refusal:
                form.add_error(None, sentence(refusal))
            else:
                return self._proposal(request, content, match_transfers(transfers))
        return form_page(
            self,
            request,
            form,
            title="Record bank transfers",
            text="What came in is matched to open invoices by its reference, amount and payer. "
            "Nothing is recorded before you confirm it.",
            submit="Read it",
            multipart=True,
        )

    def _proposal(
        self, request: HttpRequest, content: bytes, matched: list[Matched]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Which invoices do these pay?",
            "rows": [_row(number, each) for number, each in enumerate(matched)],
            "statement": b64encode(content).decode(),
        }
        return TemplateResponse(request, "admin/hostmeter/bank_transfers_page.html", context)

    def _confirmed(self, request: HttpRequest) -> HttpResponse:
        try:
            content = b64decode(request.POST["statement"], validate=True)
            transfers = transfers_in(content, currency=_currency(request))
        except (NotBase64, StatementNotReadable) as refusal:
            messages.error(request, sentence(refusal))
            return to_list()
        by_number = {each.reference: each for each in open_invoices()}
        recorded = 0
        for number, transfer in enumerate(transfers):
            wanted = request.POST.get(f"pays-{number}", "").strip()
            if wanted:
                recorded += self._record(request, transfer, wanted, by_number)
        messages.success(request, f"Recorded: {recorded} of {len(transfers)}.")
        return to_list()

    def _record(
        self, request: HttpRequest, transfer: Transfer, wanted: str, by_number: dict[str, Invoice]
    ) -> bool:
        invoice = by_number.get(wanted)
        if invoice is None:
            messages.error(request, f"{_said(transfer)}: no open invoice has number {wanted[:40]}.")
            return False
        if invoice.currency != transfer.currency:
            messages.error(request, f"{_said(transfer)}: {invoice} is in {invoice.currency}.")
            return False
        try:
            payment = record_transfer(transfer, invoice, as_of=timezone.now())
        except (InvoiceNotPayable, PaymentNotUsable) as refusal:
            messages.error(request, f"{_said(transfer)}: {refusal}.")
            return False
        if payment.invoice_id != invoice.pk:
            messages.error(request, f"{_said(transfer)}: it is recorded for {payment.invoice}.")
            return False
        self.log_change(request, invoice, f"Bank transfer recorded: {_said(transfer)}.")
        return True


def _row(number: int, matched: Matched) -> dict[str, Any]:
    transfer, match, invoice = matched.transfer, matched.match, matched.invoice
    sure = match is not None and match.confidence >= Confidence.LIKELY
    return {
        "number": number,
        "transfer": transfer,
        "amount": _money(transfer),
        "recorded": matched.recorded and matched.recorded.invoice,
        "invoice": invoice,
        "open": invoice and written_amount(invoice.open_amount, invoice.currency),
        "confidence": match.confidence.name.lower() if match else "none",
        "reason": match.reason if match else "nothing speaks for one invoice",
        "proposed": invoice.reference if sure and invoice else "",
    }


def _said(transfer: Transfer) -> str:
    return f"{transfer.booked_on} {_money(transfer)}"


def _money(transfer: Transfer) -> str:
    return f"{transfer.amount:,f} {transfer.currency}"


def _currency(request: HttpRequest) -> str:
    user = request.user
    member = user.membership if isinstance(user, User) else None
    return member.tenant.currency if member else ""
