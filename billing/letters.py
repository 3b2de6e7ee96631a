"""The e-mails about invoices and payments: what each says, and what it is written from.

Contexts are JSON: ids and amounts as text, moments in ISO 8601. Whoever queues one takes the sample
below as what it has to hold; billing.operations.mailing does so for documents and payments.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.documents.files import FORMS, document_file, file_name
from billing.documents.loading import invoice_document
from billing.models import Invoice
from billing.operations.lifecycle import TransitionNotAllowed, mark_sent
from billing.queries.parties import billing_settings
from tenants.core.mail import Letter
from tenants.mail_format import day, minute, money
from tenants.mail_kinds import Attachment, Context, Look, MailKind, look_by, register

_URL: Final = "https://example.com/invoices/example/"
_INVOICE: Final[dict[str, Any]] = {
    "invoice": "00000000-0000-0000-0000-000000000000",
    "document": "invoice",
    "number": "INV-1042",
    "amount": "1234.56",
    "open": "1234.56",
    "currency": "EUR",
    "period_start": "2026-10-01T00:00:00+00:00",
    "period_last": "2026-10-31T00:00:00+00:00",
    "due_at": "2026-11-15T00:00:00+00:00",
    "url": _URL,
}


def _document(context: Context) -> str:
    return {
        "invoice": _("Invoice"),
        "credit_note": _("Credit note"),
        "debit_note": _("Debit note"),
    }[context["document"]] + f" {context['number']}"


def _invoice_issued(context: Context) -> Letter:
    currency = context["currency"]
    owed = context["document"] != "credit_note" and context["open"] != "0"
    facts = [
        (_("Number"), context["number"]),
        (
            _("Period"),
            f"{day(context['period_start'])} – {day(context['period_last'])}",  # noqa: RUF001
        ),
        (_("Amount"), money(context["amount"], currency)),
    ]
    if owed:
        facts += [(_("To pay"), money(context["open"], currency))]
        facts += [(_("Due on"), day(context["due_at"]))] if context["due_at"] else []
        first = _("Your %(document)s is here.") % {"document": _document(context)}
    else:
        first = _("Your %(document)s is here. You need not pay anything for it.") % {
            "document": _document(context)
        }
    return Letter(
        subject=_document(context),
        paragraphs=(first, _("It is attached as PDF.")) if context["attached"] else (first,),
        facts=tuple(facts),
        link=(_("Open it, with every figure behind it"), context["url"]),
    )


def _receipt(context: Context) -> Letter:
    currency = context["currency"]
    facts = [
        (_("Received"), money(context["amount"], currency)),
        (_("On"), day(context["received_at"])),
        (_("For"), _document(context)),
        (_("Reference"), context["reference"]),
    ]
    if context["open"] != "0":
        facts += [(_("Still to pay"), money(context["open"], currency))]
    if context["to_credit"] != "0":
        facts += [(_("Kept as your credit"), money(context["to_credit"], currency))]
    return Letter(
        subject=_("Payment received: %(amount)s") % {"amount": money(context["amount"], currency)},
        paragraphs=(_("Thank you: we have received your payment."),),
        facts=tuple(facts),
        link=(_("Open the invoice"), context["url"]),
    )


def _reminder(context: Context) -> Letter:
    names = {"document": _document(context)}
    days = context["days_overdue"]
    first = ngettext(
        "%(document)s was due %(days)s day ago, and we have not received all of it.",
        "%(document)s was due %(days)s days ago, and we have not received all of it.",
        days,
    ) % {**names, "days": days}
    words = {
        1: _("It may have slipped through: please pay it in the next days."),
        2: _("Please pay it now, or tell us what keeps you from it."),
    }.get(
        context["level"],
        _("This is our last reminder. Please pay at once: what follows is named in our terms."),
    )
    subjects = {1: _("Reminder: %(document)s"), 2: _("Second reminder: %(document)s")}
    return Letter(
        subject=subjects.get(context["level"], _("Last reminder: %(document)s")) % names,
        paragraphs=(first, words),
        facts=(
            (_("To pay"), money(context["open"], context["currency"])),
            (_("Was due on"), day(context["due_at"])),
        ),
        link=(_("Pay now"), context["url"]),
        closing=(
            _("If you have paid meanwhile, you need not do anything."),
            _("If you think that a line is wrong, dispute it there: we then stop reminding you."),
        ),
    )


def _late_fee(context: Context) -> Letter:
    names = {"document": _document(context)}
    return Letter(
        subject=_("A late fee for %(document)s") % names,
        paragraphs=(
            _("%(document)s is still not paid, so a late fee is charged.") % names,
            _("It stands on your next invoice, with its price."),
        ),
        facts=(
            (_("To pay"), money(context["open"], context["currency"])),
            (_("Was due on"), day(context["due_at"])),
        ),
        link=(_("Pay now"), context["url"]),
        closing=(_("If you have paid meanwhile, or a line is wrong, tell us on that page."),),
    )


def _suspension(context: Context) -> Letter:
    names = {"document": _document(context)}
    return Letter(
        subject=_("Your applications are suspended: %(document)s is not paid") % names,
        paragraphs=(
            _("%(document)s is still not paid, so your applications are suspended.") % names,
            _("Nothing is deleted. They go on once it is paid."),
        ),
        facts=(
            (_("To pay"), money(context["open"], context["currency"])),
            (_("Was due on"), day(context["due_at"])),
        ),
        link=(_("Pay now"), context["url"]),
    )


def _confirmation(context: Context) -> Letter:
    return Letter(
        subject=_("Please confirm your payment: %(document)s") % {"document": _document(context)},
        paragraphs=(
            _("Your bank asks you to confirm this payment yourself. Nothing was charged yet."),
        ),
        facts=(
            (_("For"), _document(context)),
            (_("Amount"), money(context["amount"], context["currency"])),
        ),
        link=(_("Confirm the payment"), context["url"]),
    )


def _budget_alert(context: Context) -> Letter:
    names = {"budget": context["budget"], "percent": context["percent"]}
    if context["forecast"]:
        subject = _("Budget %(budget)s: %(percent)s%% is forecast") % names
        first = _("If this month goes on as it began, it will reach %(percent)s%% of the budget.")
    else:
        subject = _("Budget %(budget)s: %(percent)s%% is used") % names
        first = _("This month's costs have reached %(percent)s%% of the budget.")
    return Letter(
        subject=subject,
        paragraphs=(first % names,),
        facts=(
            (_("Budget"), _budgeted(context, "limit")),
            (_("Up to now"), _budgeted(context, "spent")),
        ),
        share=min(int(context["percent"]), 100),
        link=(_("See where it comes from"), context["url"]),
        closing=_consequence(context),
        unsubscribe_url=context["unsubscribe_url"],
    )


def _consequence(context: Context) -> tuple[str, ...]:
    """What comes of a limit that is reached, and what happens next."""
    if not context["consequence"]:
        return ()
    if context["consequence"] == "tell":
        return (_("Nothing is stopped."),)
    stops = context["consequence"] == "stop"
    # E-mails from before it was said when were queued without it.
    if not context.get("asked_at"):
        asked_to_stop = _("Your provider has been asked to stop the application.")
        return (asked_to_stop if stops else _("Your provider has been asked what to do."),)
    asked = {"moment": minute(context["asked_at"]), "application": context["application"]}
    if stops:
        first = _("On %(moment)s your provider was asked to stop the application %(application)s.")
    else:
        first = _("On %(moment)s your provider was asked what to do.")
    return (
        first % asked,
        _(
            "A person looks into it, and you get an e-mail with what was decided. Until then "
            "everything runs on and is billed."
        ),
    )


def _budget_decided(context: Context) -> Letter:
    names = {
        "budget": context["budget"],
        "application": context["application"],
        "moment": minute(context["asked_at"]),
    }
    done = context["state"] == "done"
    if context["request"] == "stop":
        first = _("On %(moment)s your provider was asked to stop the application %(application)s.")
        decided = (
            _("The application was stopped.") if done else _("The application is not stopped.")
        )
    else:
        first = _("On %(moment)s your provider was asked what to do.")
        decided = _("It is done.") if done else _("Nothing is done about it.")
    return Letter(
        subject=_("Budget %(budget)s: what your provider decided") % names,
        paragraphs=(first % names, decided, *([context["note"]] if context["note"] else [])),
        facts=((_("Decided"), minute(context["decided_at"])),),
        link=(_("See the budget"), context["url"]) if context["url"] else None,
    )


def _budgeted(context: Context, name: str) -> str:
    """An amount, or of a meter a quantity."""
    if context["currency"]:
        return money(context[name], context["currency"])
    return f"{context[name]} {context['unit']}"


def _dispute_answered(context: Context) -> Letter:
    names = {"line": context["line"], "document": _document(context)}
    return Letter(
        subject=_("Your dispute about %(document)s is answered") % names,
        paragraphs=(
            _("You disputed “%(line)s” on %(document)s. The answer:") % names,
            context["words"],
        ),
        link=(_("Read it and answer"), context["url"]),
    )


def _files(context: Context) -> Sequence[Attachment]:
    invoice = Invoice.objects.filter(pk=context["invoice"]).first()
    if invoice is None:
        return ()
    document = invoice_document(invoice)
    content = document_file(document, "pdf")
    return (Attachment(file_name(document, "pdf"), content, FORMS["pdf"].content_type),)


def _note_sent(context: Context, as_of: datetime) -> None:
    invoice = Invoice.objects.filter(pk=context["invoice"]).first()
    if invoice is None:
        return
    try:
        mark_sent(invoice, as_of=as_of)
    except TransitionNotAllowed:
        # It was taken back while its e-mail was on its way; the note is sent as well.
        return


def _look() -> Look:
    settings = billing_settings()
    return Look(settings.colour, settings.email, settings.language)


def register_letters() -> None:
    paid = {"reference": "pi_example", "received_at": "2026-11-03T12:00:00+00:00"}
    settled = {"open": "0", "to_credit": "0"}
    budget = {
        "budget": "Production", "percent": 80, "forecast": False, "limit": "500", "spent": "400.10",
        "currency": "EUR", "unit": "", "consequence": "", "application": "", "asked_at": "",
        "url": "https://example.com/budgets/",
        "unsubscribe_url": "https://example.com/budgets/",
    }  # fmt: skip
    decided = {
        "budget": "Production", "application": "shop", "request": "stop", "state": "done",
        "note": "Stopped at noon, and kept as it was.", "asked_at": "2026-10-21T09:05:00+00:00",
        "decided_at": "2026-10-21T12:00:00+00:00", "url": "https://example.com/budgets/",
    }  # fmt: skip
    late = {**_INVOICE, "days_overdue": 7}
    register(
        MailKind(
            "invoice_issued", "Invoice or note", _invoice_issued, _INVOICE, _files, _note_sent
        ),
        MailKind("receipt", "Receipt", _receipt, {**_INVOICE, **paid, **settled}),
        MailKind("reminder", "Reminder", _reminder, {**late, "level": 1}),
        MailKind("late_fee", "Late fee", _late_fee, late),
        MailKind("suspension", "Suspension", _suspension, late),
        MailKind("payment_confirmation", "Payment to confirm", _confirmation, _INVOICE),
        MailKind("budget_alert", "Budget alert", _budget_alert, budget),
        MailKind("budget_decided", "Budget request decided", _budget_decided, decided),
        MailKind(
            "dispute_answered",
            "Dispute answered",
            _dispute_answered,
            {**_INVOICE, "line": "CPU time", "words": "We have looked into it: you are right."},
        ),
    )
    look_by(_look)
