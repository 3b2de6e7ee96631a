"""What changes billing's records. Each operation runs in one transaction inside a tenant's scope
and may be run twice, at once from two workers, with one result."""

from billing.operations.customers import ReferenceInUse, add_customer, change_customer
from billing.operations.invoices import (
    BillingPeriodNotEnded,
    InvoiceAlreadyFinalized,
    InvoiceCurrencyDiffers,
    NotABillingPeriod,
    UsageNotRolledUp,
    close_billing_period,
    close_due,
    finalize_invoice,
    recompute_draft,
)
from billing.operations.plans import (
    Offer,
    VersionNotUsable,
    copy_plan_version,
    publish_plan_version,
)
from billing.operations.subscriptions import (
    SubscriptionNotEndable,
    SubscriptionsOverlap,
    end_subscription,
    subscribe,
)

__all__ = [
    "BillingPeriodNotEnded",
    "InvoiceAlreadyFinalized",
    "InvoiceCurrencyDiffers",
    "NotABillingPeriod",
    "Offer",
    "ReferenceInUse",
    "SubscriptionNotEndable",
    "SubscriptionsOverlap",
    "UsageNotRolledUp",
    "VersionNotUsable",
    "add_customer",
    "change_customer",
    "close_billing_period",
    "close_due",
    "copy_plan_version",
    "end_subscription",
    "finalize_invoice",
    "publish_plan_version",
    "recompute_draft",
    "subscribe",
]
