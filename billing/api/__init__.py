"""Billing's resources of /api/v1/."""

from typing import Final

from ninja import Router

from billing.api.agreements import agreements
from billing.api.backtests import backtests
from billing.api.budgets import budgets
from billing.api.credit import credit
from billing.api.customers import customers
from billing.api.disputes import disputes
from billing.api.drafts import drafts
from billing.api.files import files
from billing.api.invoices import invoices
from billing.api.meters import meters
from billing.api.plans import plans
from billing.api.subscriptions import subscriptions
from billing.api.transitions import transitions
from billing.api.upcoming import upcoming
from billing.api.wallets import wallets

routers: Final[dict[str, Router]] = {
    "meters": meters,
    "customers": customers,
    "plans": plans,
    "plan versions": drafts,
    "backtests": backtests,
    "subscriptions": subscriptions,
    "agreements": agreements,
    "upcoming invoices": upcoming,
    "invoices": invoices,
    "files of invoices": files,
    "what happens to invoices": transitions,
    "disputes": disputes,
    "credit": credit,
    "wallets": wallets,
    "budgets": budgets,
}
