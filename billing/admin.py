"""Billing's pages in the operators' admin; each part has a module of its own."""

from billing import (  # noqa: F401 they register their pages
    admin_budget_requests,
    admin_budgets,
    admin_contracts,
    admin_credit,
    admin_disputes,
    admin_dunning,
    admin_exports,
    admin_invoices,
    admin_late_usage,
    admin_ledger,
    admin_parties,
    admin_payments,
    admin_plans,
    admin_runs,
)
