"""Billing's resources of /api/v1/."""

from typing import Final

from ninja import Router

from billing.api.credit import credit
from billing.api.customers import customers
from billing.api.invoices import invoices
from billing.api.plans import plans
from billing.api.subscriptions import subscriptions
from billing.api.upcoming import upcoming

routers: Final[dict[str, Router]] = {
    "customers": customers,
    "plans": plans,
    "subscriptions": subscriptions,
    "upcoming invoices": upcoming,
    "invoices": invoices,
    "credit": credit,
}
