"""Invoices and notes: drafts and issued ones, with their lines, steps and taxes."""

from typing import Annotated, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field

from billing.api.fields import Exact
from billing.api.lines import LineOut, shown_line
from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.models import Invoice, InvoiceTax
from billing.operations import InvoiceCurrencyDiffers, UsageNotRolledUp, finalize_invoice
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found
from tenants.api.fields import Given, Instant
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

invoices = Resources()

Status = Literal[
    "draft",
    "in_review",
    "finalized",
    "sent",
    "partly_paid",
    "paid",
    "overdue",
    "void",
    "uncollectible",
]
Kind = Literal["invoice", "credit_note", "debit_note"]


class InvoiceOut(Given):
    """`kind` is what it is of a period: its invoice, or a note on one. `issued_as` is what the
    customer is sent: for an invoice below zero a credit note, whose amounts stay negative here.
    `number` is empty before an invoice is finalized. `total` is what the lines sum to, `payable`
    what is left with tax after the customer's credit and before any payment. `open_amount` is what
    is left of that after `amount_paid` and after `amount_credited`, what credit notes took off."""

    id: UUID
    kind: Kind
    issued_as: Kind
    status: Status
    number: str
    customer_id: UUID
    subscription_id: UUID
    refers_to: UUID | None
    reason: str
    period_start: Instant
    period_end: Instant
    currency: str
    total: Exact
    tax_total: Exact
    tax_inclusive: bool
    credit_applied: Exact
    payable: Exact
    amount_paid: Exact
    amount_credited: Exact
    open_amount: Exact
    created_at: Instant
    review_until: Instant | None
    finalized_at: Instant | None
    sent_at: Instant | None
    due_at: Instant | None


class TaxOut(Given):
    """One rate group; `category` is of UNCL 5305."""

    category: str
    percent: Exact
    taxable: Exact
    tax: Exact
    reason: str


class InvoiceWithLinesOut(InvoiceOut):
    """With the names of its day, what it is for and how each amount came about."""

    billed_to: str
    customer_reference: str
    seller: str
    plan: str
    time_zone: str
    lines: list[LineOut]
    taxes: list[TaxOut]


class InvoiceFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None
    subscription: Annotated[UUID | None, Field(description="Those of this subscription.")] = None
    refers_to: Annotated[UUID | None, Field(description="Notes that change this invoice.")] = None
    status: Annotated[Status | None, Field(description="Those that are it now.")] = None
    kind: Annotated[Kind | None, Field(description="Invoices, or notes of one kind.")] = None
    period_from: Annotated[
        Instant | None, Field(description="Periods that start at or after it.")
    ] = None
    period_to: Annotated[Instant | None, Field(description="Periods that start before it.")] = None


@invoices.reading(
    "/invoices", scope="invoices:read", answers=Page[InvoiceOut], summary="List invoices"
)
def list_invoices(request: ApiRequest, filters: Query[InvoiceFilters]) -> Page[InvoiceOut]:
    wanted = {
        "customer": filters.customer,
        "subscription": filters.subscription,
        "refers_to": filters.refers_to,
        "status": filters.status,
        "kind": filters.kind,
        "period_start__gte": filters.period_from,
        "period_start__lt": filters.period_to,
    }
    rows = Invoice.objects.filter(request.caller.own("customer")).filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    return page_of(rows, filters, shown_invoice, by="created_at", newest_first=True)


@invoices.reading(
    "/invoices/{uuid:invoice_id}",
    scope="invoices:read",
    answers=InvoiceWithLinesOut,
    summary="Read an invoice with its lines and their steps",
)
def get_invoice(request: ApiRequest, invoice_id: UUID) -> InvoiceWithLinesOut:
    return _with_lines(visible_invoice(request.caller, invoice_id))


@invoices.acting(
    "/invoices/{uuid:invoice_id}/finalize",
    scope="invoices:write",
    answers=InvoiceWithLinesOut,
    summary="Finalize an invoice: it gets its number and never changes again",
)
def finalize_an_invoice(request: ApiRequest, invoice_id: UUID) -> InvoiceWithLinesOut:
    invoice = visible_invoice(request.caller, invoice_id)
    try:
        return _with_lines(finalize_invoice(invoice, as_of=request.as_of))
    except UsageNotRolledUp as refusal:
        raise conflict("usage-not-rolled-up", f"{refusal}.") from refusal
    except InvoiceCurrencyDiffers as refusal:
        raise conflict("currency-differs", f"{refusal}.") from refusal
    except (TaxRateUnknown, TaxCountryUnknown) as refusal:
        raise conflict("tax-unknown", f"{refusal}.") from refusal


def visible_invoice(caller: Caller, invoice_id: UUID) -> Invoice:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    found = Invoice.objects.filter(caller.own("customer"), pk=invoice_id).first()
    if found is None:
        raise not_found("invoice")
    return found


def shown_invoice(invoice: Invoice) -> InvoiceOut:
    """The invoice without its lines."""
    return InvoiceOut.model_validate(_figures(invoice))


def _with_lines(invoice: Invoice) -> InvoiceWithLinesOut:
    return InvoiceWithLinesOut.model_validate(
        {
            **_figures(invoice),
            "billed_to": invoice.billed_to,
            "customer_reference": invoice.customer_reference,
            "seller": invoice.seller,
            "plan": invoice.plan_label,
            "time_zone": invoice.time_zone,
            "lines": [shown_line(line) for line in invoice.lines.order_by("position")],
            "taxes": [_tax(tax) for tax in invoice.taxes.order_by("category", "-percent")],
        }
    )


def _figures(invoice: Invoice) -> dict[str, object]:
    return {
        "id": invoice.pk,
        "kind": invoice.kind,
        "issued_as": invoice.issued_as,
        "status": invoice.status,
        "number": invoice.reference,
        "customer_id": invoice.customer_id,
        "subscription_id": invoice.subscription_id,
        "refers_to": invoice.refers_to_id,
        "reason": invoice.reason,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "currency": invoice.currency,
        "total": invoice.total,
        "tax_total": invoice.tax_total,
        "tax_inclusive": invoice.tax_inclusive,
        "credit_applied": invoice.credit_applied,
        "payable": invoice.payable,
        "amount_paid": invoice.amount_paid,
        "amount_credited": invoice.amount_credited,
        "open_amount": invoice.open_amount,
        "created_at": invoice.created_at,
        "review_until": invoice.review_until,
        "finalized_at": invoice.finalized_at,
        "sent_at": invoice.sent_at,
        "due_at": invoice.due_at,
    }


def _tax(tax: InvoiceTax) -> TaxOut:
    return TaxOut(
        category=tax.category,
        percent=tax.percent,
        taxable=tax.taxable,
        tax=tax.tax,
        reason=tax.reason,
    )
