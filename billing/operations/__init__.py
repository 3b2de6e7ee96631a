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
from billing.operations.subscriptions import SubscriptionsOverlap, subscribe
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
    "SubscriptionsOverlap",
    "TopUpSettled",
    "UsageNotRolledUp",
    "VersionNotUsable",
    "apply_credit",
    "close_billing_period",
    "close_due",
    "copy_plan_version",
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
