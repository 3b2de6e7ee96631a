"""What changes billing's records. Each operation runs in one transaction inside a tenant's scope
and may be run twice, at once from two workers, with one result."""

from billing.operations.agreements import (
    DiscountNotUsable,
    OverrideIsInvoiced,
    OwnPrice,
    Rebate,
    end_discount,
    end_price,
    grant_discount,
    grant_price,
)
from billing.operations.drafts import (
    VersionAlreadyPublished,
    draft_plan_version,
    publish_draft,
)
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
    Agreement,
    CommitmentTooShort,
    SubscriptionsOverlap,
    subscribe,
)

__all__ = [
    "Agreement",
    "BillingPeriodNotEnded",
    "CommitmentTooShort",
    "DiscountNotUsable",
    "InvoiceAlreadyFinalized",
    "InvoiceCurrencyDiffers",
    "NotABillingPeriod",
    "Offer",
    "OverrideIsInvoiced",
    "OwnPrice",
    "Rebate",
    "SubscriptionsOverlap",
    "UsageNotRolledUp",
    "VersionAlreadyPublished",
    "VersionNotUsable",
    "close_billing_period",
    "close_due",
    "copy_plan_version",
    "draft_plan_version",
    "end_discount",
    "end_price",
    "finalize_invoice",
    "grant_discount",
    "grant_price",
    "publish_draft",
    "publish_plan_version",
    "recompute_draft",
    "subscribe",
]
