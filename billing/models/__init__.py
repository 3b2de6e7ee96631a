"""What it costs: plans and prices, subscriptions, invoices."""

from billing.models.contracts import Discount, PlanTerms, PriceOverride
from billing.models.invoices import Invoice, InvoiceLine, InvoiceNumbering, InvoiceTax
from billing.models.parties import BillingDetails, BillingSettings
from billing.models.plans import Plan, PlanVersion, Price, accepted_by_default
from billing.models.proof import ProofKey
from billing.models.subscriptions import Subscription

__all__ = [
    "BillingDetails",
    "BillingSettings",
    "Discount",
    "Invoice",
    "InvoiceLine",
    "InvoiceNumbering",
    "InvoiceTax",
    "Plan",
    "PlanTerms",
    "PlanVersion",
    "Price",
    "PriceOverride",
    "ProofKey",
    "Subscription",
    "accepted_by_default",
]
