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
from billing.operations.drafting import (
    BillingPeriodNotEnded,
    NotABillingPeriod,
    UsageNotRolledUp,
    draft_invoices,
)
from billing.operations.drafts import (
    VersionAlreadyPublished,
    draft_next_version,
    draft_plan_version,
    publish_draft,
)
from billing.operations.invoices import (
    InvoiceAlreadyFinalized,
    InvoiceCurrencyDiffers,
    close_billing_period,
    close_due,
    recompute_draft,
)
from billing.operations.issuing import (
    finalize_invoice,
)
from billing.operations.ledger import (
    DocumentNotIssued,
    post_issued,
    post_payment,
    post_write_off,
)
from billing.operations.lifecycle import (
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
from billing.operations.notes import (
    InvoiceNotVoidable,
    ReasonMissing,
    void_invoice,
)
from billing.operations.plans import (
    Offer,
    VersionNotUsable,
    publish_plan_version,
)
from billing.operations.restatement import (
    restate_invoice,
)
from billing.operations.subscriptions import (
    Agreement,
    CommitmentTooShort,
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
    "Agreement",
    "BillingPeriodNotEnded",
    "CommitmentTooShort",
    "CreditApplied",
    "CreditNotGrantable",
    "DiscountNotUsable",
    "DocumentNotIssued",
    "GrantVoided",
    "InvoiceAlreadyFinalized",
    "InvoiceCurrencyDiffers",
    "InvoiceNotPayable",
    "InvoiceNotVoidable",
    "NewGrant",
    "NotABillingPeriod",
    "Offer",
    "OverrideIsInvoiced",
    "OwnPrice",
    "PaymentDiffers",
    "PaymentExceedsOpen",
    "PaymentNotUsable",
    "ReasonMissing",
    "Rebate",
    "ReferenceInUse",
    "SubscriptionNotEndable",
    "SubscriptionsOverlap",
    "TopUpSettled",
    "TransitionNotAllowed",
    "UsageNotRolledUp",
    "VersionAlreadyPublished",
    "VersionNotUsable",
    "add_customer",
    "apply_credit",
    "begin_review",
    "change_customer",
    "close_billing_period",
    "close_due",
    "draft_invoices",
    "draft_next_version",
    "draft_plan_version",
    "end_discount",
    "end_price",
    "end_subscription",
    "expire_credit",
    "finalize_invoice",
    "grant_credit",
    "grant_discount",
    "grant_price",
    "mark_overdue",
    "mark_sent",
    "post_issued",
    "post_payment",
    "post_write_off",
    "publish_draft",
    "publish_plan_version",
    "recompute_draft",
    "record_payment",
    "record_top_up_failed",
    "record_top_up_paid",
    "request_due_top_ups",
    "request_top_up",
    "restate_invoice",
    "subscribe",
    "void_grant",
    "void_invoice",
    "write_off",
]
