"""What it costs: plans and prices, subscriptions, invoices, payments, taxes."""

from billing.models.invoices import Invoice, InvoiceLine, InvoiceNumbering, InvoiceTax
from billing.models.late_usage import LateUsage
from billing.models.parties import BillingDetails, BillingSettings
from billing.models.payments import Payment
from billing.models.plans import Plan, PlanVersion, Price, accepted_by_default
from billing.models.subscriptions import Subscription
from billing.models.taxes import TaxRate

__all__ = [
    "BillingDetails",
    "BillingSettings",
    "Invoice",
    "InvoiceLine",
    "InvoiceNumbering",
    "InvoiceTax",
    "LateUsage",
    "Payment",
    "Plan",
    "PlanVersion",
    "Price",
    "Subscription",
    "TaxRate",
    "accepted_by_default",
]
