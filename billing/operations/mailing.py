"""E-mails to customers, written in the transaction of what they tell. billing.letters says how each
reads. Customers that the demo made get none: nobody stands behind them."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.urls import reverse

from billing.core.budgets import FORECAST
from billing.core.exact import plain
from billing.models import (
    Budget,
    BudgetAlert,
    BudgetRequest,
    Dispute,
    DisputeMessage,
    Invoice,
    Payment,
)
from billing.queries.parties import billing_details, billing_settings, mail_recipients
from tenants.domains import address_of
from tenants.mail import queue


def mail_document(invoice: Invoice, *, as_of: datetime) -> None:
    """Send an issued invoice or note, where the tenant sends them by e-mail."""
    if billing_settings().mails_documents:
        mail_of_invoice("invoice_issued", str(invoice.pk), invoice, as_of=as_of)


def mail_receipt(payment: Payment, *, as_of: datetime) -> None:
    """Confirm that money was received, where the tenant sends documents by e-mail."""
    if not billing_settings().mails_documents:
        return
    received_at = datetime.combine(payment.received_on, time(12), UTC)
    more = {
        "amount": plain(payment.amount),
        "to_credit": plain(payment.to_credit),
        "received_at": received_at.isoformat(),
        "reference": payment.reference,
    }
    mail_of_invoice("receipt", str(payment.pk), payment.invoice, more, as_of=as_of)


def mail_of_invoice(
    kind: str,
    key: str,
    invoice: Invoice,
    more: Mapping[str, Any] | None = None,
    *,
    as_of: datetime,
) -> int:
    """Send an e-mail about an invoice to whoever receives its customer's invoices; to how many.
    `more` is what the kind has beside what all of them have."""
    if invoice.customer.generated:
        return 0
    return queue(
        kind=kind,
        key=key,
        to=mail_recipients(invoice.customer),
        language=billing_details(invoice.customer).language,
        time_zone=invoice.time_zone or invoice.customer.time_zone,
        context={**_said(invoice), **(more or {})},
        as_of=as_of,
    )


def _said(invoice: Invoice) -> dict[str, Any]:
    page = reverse("portal:invoice", args=[invoice.pk])
    return {
        "invoice": str(invoice.pk),
        "document": str(invoice.issued_as),
        "number": invoice.reference,
        "amount": plain(abs(invoice.gross)),
        "open": plain(invoice.open_amount),
        "currency": invoice.currency,
        "period_start": invoice.period_start.isoformat(),
        "period_last": (invoice.period_end - timedelta(microseconds=1)).isoformat(),
        "due_at": "" if invoice.due_at is None else invoice.due_at.isoformat(),
        "url": address_of(page),
    }


def mail_budget_alert(
    budget: Budget, alert: BudgetAlert, asked: BudgetRequest | None, *, as_of: datetime
) -> int:
    """Tell that a budget has reached a threshold, and what was `asked` of the operator by that,
    once; to how many."""
    if budget.customer.generated:
        return 0
    page = address_of(reverse("portal:budget", args=[budget.pk]))
    foreseen = alert.threshold == FORECAST
    return queue(
        kind="budget_alert",
        key=str(alert.pk),
        to=mail_recipients(budget.customer),
        language=billing_details(budget.customer).language,
        time_zone=budget.customer.time_zone,
        context={
            "budget": budget.name,
            "percent": 100 if foreseen else int(alert.threshold),
            "forecast": foreseen,
            "limit": plain(alert.limit),
            "spent": plain(alert.spent),
            "currency": budget.currency,
            "unit": budget.unit,
            "consequence": _consequence(alert, asked),
            **_asked(budget, asked),
            "url": page,
            "unsubscribe_url": page,
        },
        as_of=as_of,
    )


def _consequence(alert: BudgetAlert, asked: BudgetRequest | None) -> str:
    if alert.threshold != "100":
        return ""
    return Budget.AtLimit.TELL.value if asked is None else asked.kind


def _asked(budget: Budget, asked: BudgetRequest | None) -> dict[str, str]:
    return {
        "application": "" if budget.application is None else budget.application.name,
        "asked_at": "" if asked is None else asked.created_at.isoformat(),
    }


def mail_budget_decision(request: BudgetRequest, *, as_of: datetime) -> int:
    """Tell what the operator made of a budget's request, where its alerts are sent by e-mail, once;
    to how many."""
    budget = request.alert.budget
    if budget.customer.generated or not budget.by_email:
        return 0
    page = address_of(reverse("portal:budget", args=[budget.pk]))
    return queue(
        kind="budget_decided",
        key=str(request.pk),
        to=mail_recipients(budget.customer),
        language=billing_details(budget.customer).language,
        time_zone=budget.customer.time_zone,
        context={
            "budget": budget.name,
            "request": request.kind,
            "state": request.state,
            "note": request.note,
            "decided_at": as_of.isoformat(),
            **_asked(budget, request),
            "url": "" if budget.removed_at else page,
        },
        as_of=as_of,
    )


def mail_answer(dispute: Dispute, message: DisputeMessage, *, as_of: datetime) -> int:
    """Tell what the provider said of a dispute, once; to how many."""
    return mail_of_invoice(
        "dispute_answered",
        str(message.pk),
        dispute.invoice,
        {"line": dispute.line.label, "words": message.words},
        as_of=as_of,
    )
