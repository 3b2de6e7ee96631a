"""What customers owe, as the portal and the admin ask for it. Every query runs inside a tenant's
scope and only reads.

Usage counts for a customer inside its assignments and the billing period alone. All amounts are
Decimals in the plan's currency.
"""

from billing.queries.agreed import NotQuotedInCurrency
from billing.queries.contracts import contract_of
from billing.queries.disputes import (
    Contested,
    contested,
    dispute_of,
    disputes_by_line,
    disputes_of,
    is_paused,
    paused_among,
    threads_of,
)
from billing.queries.issued import (
    ChangesSinceFinalized,
    changes_since_finalized,
    is_usage_complete,
)
from billing.queries.periods import (
    PlanHasNoVersion,
    current_period,
    cycle_of,
    due_periods,
    ended_periods,
    is_used,
    periods_due,
    plan_version_for,
    published_versions,
    subscription_of,
)
from billing.queries.rated import rated_period
from billing.queries.upcoming import (
    ApplicationCharges,
    DailyCharge,
    MonthToDate,
    UpcomingInvoice,
    application_charges,
    month_to_date,
    upcoming_invoice,
)

__all__ = [
    "ApplicationCharges",
    "ChangesSinceFinalized",
    "Contested",
    "DailyCharge",
    "MonthToDate",
    "NotQuotedInCurrency",
    "PlanHasNoVersion",
    "UpcomingInvoice",
    "application_charges",
    "changes_since_finalized",
    "contested",
    "contract_of",
    "current_period",
    "cycle_of",
    "dispute_of",
    "disputes_by_line",
    "disputes_of",
    "due_periods",
    "ended_periods",
    "is_paused",
    "is_usage_complete",
    "is_used",
    "month_to_date",
    "paused_among",
    "periods_due",
    "plan_version_for",
    "published_versions",
    "rated_period",
    "subscription_of",
    "threads_of",
    "upcoming_invoice",
]
