"""Having periods rated again: those of drafts, and those of issued invoices with late usage."""

from collections.abc import Collection
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin_invoice_asking import InvoiceQuestions
from billing.amounts import written_amount
from billing.closing import Outcome, restate_now
from billing.models import Invoice
from billing.operations import (
    InvoiceAlreadyFinalized,
    InvoiceCurrencyDiffers,
    UsageNotRolledUp,
    recompute_draft,
)
from billing.operations.reviews import review_drafts
from tenants.admin_pages import ScopedAdmin, action
from tenants.scope import current_tenant_id


class RatingActions(InvoiceQuestions):
    """Of the list and of one invoice; each may be asked for again."""

    @admin.action(description="Recompute drafts from the newest usage", permissions=["change"])
    def recompute(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        for invoice in invoices:
            self._recompute(request, invoice)

    @admin.action(description="Restate late usage now", permissions=["change"])
    def restate(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        self._restate(request, set(invoices.values_list("pk", flat=True)))

    @action(description="Recompute", permissions=["finalize"], url_path="recompute")
    def recompute_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.ask(
            request,
            object_id,
            forms.Form,
            lambda invoice, _: self._recompute(request, invoice),
            title="Recompute this draft?",
            text="Its period is rated again from the newest usage. It stays a draft.",
            submit="Recompute",
        )

    @action(description="Restate late usage now", permissions=["finalize"], url_path="restate")
    def restate_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.ask(
            request,
            object_id,
            forms.Form,
            lambda invoice, _: self._restate(request, {invoice.pk}),
            title="Restate late usage now?",
            text="What became known of its period since it was issued is billed by a note, or left "
            "to the customer's next invoice, as your billing settings say. The invoice itself "
            "stays as it is. By itself this is done once nothing more has come for an hour.",
            submit="Restate",
        )

    def _recompute(self, request: HttpRequest, invoice: Invoice) -> None:
        try:
            draft = recompute_draft(invoice)
        except InvoiceAlreadyFinalized:
            messages.warning(request, f"{invoice} is finalized and stays as it is.")
        except (UsageNotRolledUp, InvoiceCurrencyDiffers) as refusal:
            messages.error(request, f"{invoice} of {invoice.customer}: {refusal}.")
        else:
            review_drafts(as_of=timezone.now(), among=[draft.pk])
            self.log_change(request, draft, "Recomputed.")
            messages.success(
                request, f"{draft.customer}: {written_amount(draft.total, draft.currency)}"
            )

    def _restate(self, request: HttpRequest, ids: Collection[UUID]) -> None:
        outcome = restate_now(
            current_tenant_id(), as_of=timezone.now(), wanted=lambda each: each.pk in ids
        )
        say_how_restating_went(self, request, outcome)


def say_how_restating_went(page: ScopedAdmin, request: HttpRequest, outcome: Outcome) -> None:
    """A message for each note, each invoice without one and each failure; the notes are logged."""
    for note in outcome.invoices:
        page.log_change(request, note, f"Made by restating {note.refers_to}.")
        amount = written_amount(note.gross, note.currency)
        messages.success(request, f"{note} to {note.refers_to}: {note.customer}, {amount}")
    for invoice, reason in outcome.unchanged:
        messages.info(request, f"{invoice} of {invoice.customer}: no note, {reason}.")
    for failure in outcome.failures:
        messages.error(request, f"{failure}.")
    if not (outcome.invoices or outcome.unchanged or outcome.failures):
        messages.info(request, "Nothing to restate: no usage has changed since issuing.")
