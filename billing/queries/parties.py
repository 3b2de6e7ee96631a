"""Who bills and who is billed, as it is known now."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Model

from billing.models import BillingDetails, BillingSettings, Subscription
from tenants.models import Customer, Member

_RECIPIENTS_MAX = 20

_PARTY = (
    "legal_name",
    "street",
    "postcode",
    "city",
    "region",
    "country",
    "vat_id",
    "email",
    "peppol_id",
    "language",
)
_SELLER = (*_PARTY, "tax_number", "registration", "phone", "iban", "bic", "colour")
_BUYER = (*_PARTY, "purchase_order", "buyer_reference")


def billing_settings() -> BillingSettings:
    """The tenant's; the defaults, unsaved, while there are none."""
    return BillingSettings.objects.first() or BillingSettings()


def has_billing_settings() -> bool:
    """Whether the tenant has said how it bills. Until then no draft is finalized by itself."""
    return BillingSettings.objects.exists()


def billing_details(customer: Customer) -> BillingDetails:
    """The customer's; an unsaved row that says nothing while there are none."""
    found = BillingDetails.objects.filter(customer=customer).first()
    return found or BillingDetails(customer=customer)


def recipient_of(customer: Customer) -> str:
    """Where the customer is written to; empty where that is not known."""
    return billing_details(customer).email


def recipients_of(customer: Customer) -> list[str]:
    """Everybody who is sent the customer's invoices, each once, the main address first; nobody
    while none is known."""
    details = billing_details(customer)
    return list(dict.fromkeys(each for each in (details.email, *details.recipients) if each))


def billing_currency(customer: Customer) -> str:
    """What the customer is billed in, as far as it is known: by their details, their newest
    subscription's plan, or their provider."""
    chosen = billing_details(customer).currency
    if chosen:
        return chosen
    subscription = (
        Subscription.objects.filter(customer=customer)
        .select_related("plan")
        .order_by("-starts_at")
        .first()
    )
    return subscription.plan.currency if subscription else customer.tenant.currency


def mail_recipients(customer: Customer) -> list[str]:
    """Who gets what the customer is sent by e-mail: recipients_of; while there are none, their own
    people. Nobody, where neither is known."""
    named = recipients_of(customer)
    if named:
        return named
    people = Member.objects.accepted().filter(customer=customer, user__is_active=True)
    return list(people.order_by("pk").values_list("user__email", flat=True)[:_RECIPIENTS_MAX])


def seller_details(settings: BillingSettings | None = None) -> dict[str, Any]:
    """What an invoice keeps of the seller, by the names of BillingSettings' fields."""
    return _details(settings or billing_settings(), _SELLER)


def buyer_details(customer: Customer) -> dict[str, Any]:
    """What an invoice keeps of the buyer, by the names of BillingDetails' fields."""
    return _details(billing_details(customer), _BUYER)


def buyers_details(customer_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """As buyer_details, of many customers."""
    stored = BillingDetails.objects.filter(customer__in=customer_ids)
    unknown = dict.fromkeys(customer_ids, BillingDetails())
    rows = unknown | {details.customer_id: details for details in stored}
    return {customer_id: _details(row, _BUYER) for customer_id, row in rows.items()}


def _details(row: Model, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
