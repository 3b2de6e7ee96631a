"""What changes billing's records. Each operation runs in one transaction inside a tenant's scope
and may be run twice, at once from two workers, with one result."""

from billing.operations.credit import (
    CreditApplied,
    CreditNotGrantable,
    GrantVoided,
    NewGrant,
    apply_credit,
    expire_credit,
    grant_credit,
    void_grant,
)
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
from billing.operations.ledger import (
    InvoiceNotIssued,
    post_issued,
    post_payment,
    post_write_off,
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
from billing.operations.wallets import (
    TopUpSettled,
    record_top_up_failed,
    record_top_up_paid,
    request_due_top_ups,
    request_top_up,
)

__all__ = [
    "BillingPeriodNotEnded",
    "CreditApplied",
    "CreditNotGrantable",
    "GrantVoided",
    "InvoiceAlreadyFinalized",
    "InvoiceCurrencyDiffers",
    "InvoiceNotIssued",
    "NewGrant",
    "NotABillingPeriod",
    "Offer",
    "ReferenceInUse",
    "SubscriptionNotEndable",
    "SubscriptionsOverlap",
    "TopUpSettled",
    "UsageNotRolledUp",
    "VersionNotUsable",
    "add_customer",
    "apply_credit",
    "change_customer",
    "close_billing_period",
    "close_due",
    "copy_plan_version",
    "end_subscription",
    "expire_credit",
    "finalize_invoice",
    "grant_credit",
    "post_issued",
    "post_payment",
    "post_write_off",
    "publish_plan_version",
    "recompute_draft",
    "record_top_up_failed",
    "record_top_up_paid",
    "request_due_top_ups",
    "request_top_up",
    "subscribe",
    "void_grant",
]
