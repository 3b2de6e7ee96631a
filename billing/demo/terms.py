"""What the demo's provider has agreed on: who bills whom, taxes, a discount, credit, a wallet, and
a correction of what was invoiced. Every name in it is invented."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from billing.demo.scenery import MINIMUMS, DemoCustomer
from billing.models import BillingSettings, Invoice, PlanTerms, PlanVersion, TaxRate
from billing.operations import (
    NewGrant,
    Rebate,
    grant_credit,
    grant_discount,
    open_wallet,
    record_top_up_paid,
    restate_invoice,
)
from metering.corrections import delete_usage
from metering.models import Application
from metering.rollups import roll_up
from tenants.models import Customer
from tenants.scope import current_tenant_id

EURO: Final = "EUR"
_LOGO: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="48" height="48">'
    '<rect width="48" height="48" rx="8" fill="#0b6e4f"/>'
    '<path d="M12 34V14h6v7h12v-7h6v20h-6v-8H18v8z" fill="#ffffff"/></svg>'
)
_SELLER: Final[dict[str, Any]] = {
    "legal_name": "Demo Hosting GmbH",
    "street": "Demostraße 1",
    "postcode": "10115",
    "city": "Berlin",
    "country": "DE",
    "vat_id": "DE123456788",
    "registration": "Demo register, HRB 0000",
    "email": "billing@demo.example",
    "phone": "+49 30 000000",
    "iban": "DE89370400440532013000",
    "logo_svg": _LOGO,
    "colour": "#0b6e4f",
    "review_days": 3,
}
_RATES: Final = (("DE", "VAT 19 %", "19"), ("AT", "VAT 20 %", "20"))


def settle_terms(first_day: datetime) -> None:
    """How the provider bills, and the taxes of the countries that it sells to."""
    BillingSettings.objects.create(**_SELLER)
    since = (first_day - timedelta(days=31)).date()
    for country, name, percent in _RATES:
        TaxRate.objects.create(
            name=name, country=country, percent=Decimal(percent), valid_from=since
        )


def ask_minimum(version: PlanVersion) -> None:
    """What the version's subscribers pay at least."""
    plan = version.plan
    if minimum := MINIMUMS.get(plan.name):
        PlanTerms.objects.create(
            plan_version=version, currency=plan.currency, minimum=Decimal(minimum)
        )


def agree(customer: Customer, wanted: DemoCustomer, first_day: datetime) -> None:
    """What the customer gets beside the plan."""
    if wanted.discounted:
        _give_discount(customer, first_day)
    if wanted.prepaid:
        _give_credit(customer, first_day)


def _give_discount(customer: Customer, first_day: datetime) -> None:
    rebate = Rebate(
        name="Demo welcome discount",
        starts_at=first_day,
        percent=Decimal(10),
        price_codes=("cpu-time",),
        periods=3,
    )
    grant_discount(customer, rebate)


def _give_credit(customer: Customer, first_day: datetime) -> None:
    """A gift, and a wallet that has been filled once."""
    gift = NewGrant(customer, "promotional", EURO, Decimal(10), note="Demo gift")
    grant_credit(gift, as_of=first_day)
    wallet = open_wallet(
        customer,
        EURO,
        threshold=Decimal(5),
        top_up_amount=Decimal(20),
        enabled=True,
        as_of=first_day,
    )
    record_top_up_paid(wallet.top_ups.get(), as_of=first_day)


def correct_invoices(customers: Sequence[DemoCustomer], as_of: datetime) -> None:
    """Take a day back of the newest invoice of those that are corrected: a credit note
    follows."""
    for wanted in customers:
        if wanted.corrected:
            _correct(Customer.objects.get(reference=wanted.reference), as_of)


def _correct(customer: Customer, as_of: datetime) -> None:
    invoice = Invoice.objects.filter(customer=customer).latest("period_end")
    application = Application.objects.filter(assignments__customer=customer).earliest("name")
    delete_usage(
        application,
        (invoice.period_end - timedelta(days=3), invoice.period_end - timedelta(days=2)),
        reason="Demo: a load test of ours",
        author="billing@demo.example",
        as_of=as_of,
    )
    roll_up(current_tenant_id())
    restate_invoice(invoice, as_of=as_of)
