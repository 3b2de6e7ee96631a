"""What it costs: plans and prices, subscriptions, invoices."""

from billing.models.budgets import (
    Budget,
    BudgetAlert,
    BudgetRequest,
)
from billing.models.collecting import (
    PayingCustomer,
    PaymentAttempt,
    ProcessorAccount,
    ProcessorEvent,
    Refund,
)
from billing.models.contracts import (
    Discount,
    PlanTerms,
    PriceOverride,
)
from billing.models.credit import (
    CreditGrant,
    CreditMovement,
    TopUp,
    Wallet,
)
from billing.models.disputes import (
    Dispute,
    DisputeMessage,
)
from billing.models.dunning import (
    DunningAction,
    DunningHold,
    DunningStep,
    DunningTaken,
    Suspension,
)
from billing.models.invoices import (
    Invoice,
    InvoiceLine,
    InvoiceNumbering,
    InvoiceTax,
)
from billing.models.late_usage import (
    LateUsage,
)
from billing.models.ledger import (
    JournalEntry,
    Posting,
)
from billing.models.parties import (
    BillingDetails,
    BillingSettings,
    Logo,
)
from billing.models.payments import (
    Payment,
)
from billing.models.plans import (
    Plan,
    PlanVersion,
    Price,
    accepted_by_default,
)
from billing.models.proof import (
    InvoiceTerms,
    ProofKey,
)
from billing.models.reviews import (
    AccruedRevenue,
    Finalizing,
    FinalizingStep,
    InvoiceReview,
)
from billing.models.runs import (
    BillingRun,
    BillingShard,
)
from billing.models.subscriptions import (
    Subscription,
)
from billing.models.taxes import (
    TaxRate,
)

__all__ = [
    "AccruedRevenue",
    "BillingDetails",
    "BillingRun",
    "BillingSettings",
    "BillingShard",
    "Budget",
    "BudgetAlert",
    "BudgetRequest",
    "CreditGrant",
    "CreditMovement",
    "Discount",
    "Dispute",
    "DisputeMessage",
    "DunningAction",
    "DunningHold",
    "DunningStep",
    "DunningTaken",
    "Finalizing",
    "FinalizingStep",
    "Invoice",
    "InvoiceLine",
    "InvoiceNumbering",
    "InvoiceReview",
    "InvoiceTax",
    "InvoiceTerms",
    "JournalEntry",
    "LateUsage",
    "Logo",
    "PayingCustomer",
    "Payment",
    "PaymentAttempt",
    "Plan",
    "PlanTerms",
    "PlanVersion",
    "Posting",
    "Price",
    "PriceOverride",
    "ProcessorAccount",
    "ProcessorEvent",
    "ProofKey",
    "Refund",
    "Subscription",
    "Suspension",
    "TaxRate",
    "TopUp",
    "Wallet",
    "accepted_by_default",
]
