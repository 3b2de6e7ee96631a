"""What changes billing's records. Each operation runs in one transaction inside a tenant's scope
and may be run twice, at once from two workers, with one result."""

from billing.operations.invoices import (
    BillingPeriodNotEnded,
    InvoiceAlreadyFinalized,
    InvoiceCurrencyDiffers,
    NotABillingPeriod,
    UsageNotRolledUp,
    close_billing_period,
    close_due,
    recompute_draft,
)
from billing.operations.issuing import finalize_invoice
from billing.operations.lifecycle import (
    InvoiceNotIssued,
    InvoiceNotPayable,
    PaymentDiffers,
    PaymentExceedsOpen,
    PaymentNotUsable,
    TransitionNotAllowed,
    begin_review,
    mark_overdue,
    mark_sent,
    record_payment,
    write_off,
)
from billing.operations.notes import InvoiceNotVoidable, ReasonMissing, void_invoice
from billing.operations.plans import (
    Offer,
    VersionNotUsable,
    copy_plan_version,
    publish_plan_version,
)
from billing.operations.restatement import note_changed_usage, restate_invoice
from billing.operations.subscriptions import SubscriptionsOverlap, subscribe

__all__ = [
    "BillingPeriodNotEnded",
    "InvoiceAlreadyFinalized",
    "InvoiceCurrencyDiffers",
    "InvoiceNotIssued",
    "InvoiceNotPayable",
    "InvoiceNotVoidable",
    "NotABillingPeriod",
    "Offer",
    "PaymentDiffers",
    "PaymentExceedsOpen",
    "PaymentNotUsable",
    "ReasonMissing",
    "SubscriptionsOverlap",
    "TransitionNotAllowed",
    "UsageNotRolledUp",
    "VersionNotUsable",
    "begin_review",
    "close_billing_period",
    "close_due",
    "copy_plan_version",
    "finalize_invoice",
    "mark_overdue",
    "mark_sent",
    "note_changed_usage",
    "publish_plan_version",
    "recompute_draft",
    "record_payment",
    "restate_invoice",
    "subscribe",
    "void_invoice",
    "write_off",
]
