"""Customers, and how each is billed."""

from typing import Annotated, Any
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.fields import CurrencyCode
from billing.models import BillingDetails
from billing.models.parties import RECIPIENTS_MAX
from billing.operations import ReferenceInUse, VatIdNotOfCountry, add_customer, change_customer
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Name, Taken, TimeZoneName, example, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.models import Customer, Tenant
from tenants.scope import current_tenant_id

customers = Resources()

Reference = Annotated[
    str, StringConstraints(min_length=1, max_length=60, pattern="^[A-Za-z0-9_-]+$")
]
Country = Annotated[str, StringConstraints(max_length=2, pattern="^([A-Z]{2})?$")]
Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^([^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+)?$")
]
NamedEmail = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")
]
PeppolId = Annotated[
    str, StringConstraints(max_length=60, pattern=r"^([0-9]{4}:[^\s\x00-\x1f]+)?$")
]


class BillingIn(Taken):
    """What documents say of the customer. Empty text means that it is not known; an empty
    currency is that of the plan."""

    legal_name: Annotated[str, text(200)] = ""
    street: Annotated[str, text(200)] = ""
    postcode: Annotated[str, text(20)] = ""
    city: Annotated[str, text(100)] = ""
    region: Annotated[str, text(10)] = ""
    country: Country = ""
    vat_id: Annotated[str, text(20)] = ""
    email: Email = ""
    peppol_id: PeppolId = ""
    language: Annotated[str, StringConstraints(max_length=8, pattern="^[a-z]{2}(-[A-Z]{2})?$")] = (
        "en"
    )
    currency: CurrencyCode | Annotated[str, Field(max_length=0)] = ""
    purchase_order: Annotated[str, text(60)] = ""
    buyer_reference: Annotated[str, text(100)] = ""
    recipients: Annotated[
        list[NamedEmail],
        Field(max_length=RECIPIENTS_MAX, description="Who else is sent invoices."),
    ] = Field(default_factory=list)


class BillingOut(Given):
    legal_name: str
    street: str
    postcode: str
    city: str
    region: str
    country: str
    vat_id: str
    email: str
    peppol_id: str
    language: str
    currency: str
    purchase_order: str
    buyer_reference: str
    recipients: list[str]


class CustomerOut(Given):
    """`reference` is yours, and never twice; invoices show it."""

    id: UUID
    reference: str
    name: str
    time_zone: str
    created_at: Instant
    billing: BillingOut


class CustomerIn(Taken):
    """`time_zone` is the tenant's where it is left out; billing periods begin at its midnight."""

    model_config = example(
        {
            "reference": "pine",
            "name": "Pine Ltd",
            "time_zone": "Europe/Berlin",
            "billing": {"legal_name": "Pine Limited", "country": "DE", "currency": "EUR"},
        }
    )

    reference: Reference
    name: Name
    time_zone: TimeZoneName | None = None
    billing: BillingIn = BillingIn()


class CustomerChange(Taken):
    """What is left out stays as it is."""

    model_config = example({"name": "Pine and Sons Ltd"})

    reference: Reference | None = None
    name: Name | None = None
    time_zone: TimeZoneName | None = None
    billing: BillingIn | None = None


class CustomerFilters(Paging):
    reference: Annotated[Reference | None, Field(description="The one that is called so.")] = None


@customers.reading(
    "/customers", scope="customers:read", answers=Page[CustomerOut], summary="List customers"
)
def list_customers(request: ApiRequest, filters: Query[CustomerFilters]) -> Page[CustomerOut]:
    rows = Customer.objects.filter(request.caller.own("pk"))
    if filters.reference is not None:
        rows = rows.filter(reference=filters.reference)
    page = page_of(rows, filters, lambda row: row, by="created_at")
    details = _details([row.pk for row in page.data])
    return Page(data=[_shown(row, details.get(row.pk)) for row in page.data], next=page.next)


@customers.creating(
    "/customers", scope="customers:write", answers=CustomerOut, summary="Add a customer"
)
def create_customer(request: ApiRequest, customer: CustomerIn) -> CustomerOut:
    fields = customer.model_dump(include={"reference", "name", "time_zone"})
    fields["time_zone"] = fields["time_zone"] or _tenants_time_zone()
    billing = customer.billing.model_dump(exclude_unset=True)
    try:
        return _shown_now(add_customer(fields, billing))
    except ReferenceInUse as refusal:
        raise conflict("reference-in-use", f"{refusal}.") from refusal
    except VatIdNotOfCountry as refusal:
        raise unprocessable(("billing.vat_id", str(refusal))) from refusal


@customers.reading(
    "/customers/{uuid:customer_id}",
    scope="customers:read",
    answers=CustomerOut,
    summary="Read a customer",
)
def get_customer(request: ApiRequest, customer_id: UUID) -> CustomerOut:
    return _shown_now(visible_customer(request.caller, customer_id))


@customers.changing(
    "/customers/{uuid:customer_id}",
    scope="customers:write",
    answers=CustomerOut,
    summary="Change a customer",
)
def update_customer(request: ApiRequest, customer_id: UUID, change: CustomerChange) -> CustomerOut:
    customer = visible_customer(request.caller, customer_id)
    fields = change.model_dump(exclude_none=True, exclude={"billing"})
    billing = change.billing.model_dump(exclude_unset=True) if change.billing else {}
    try:
        return _shown_now(change_customer(customer, fields, billing, as_of=request.as_of))
    except ReferenceInUse as refusal:
        raise conflict("reference-in-use", f"{refusal}.") from refusal
    except VatIdNotOfCountry as refusal:
        raise unprocessable(("billing.vat_id", str(refusal))) from refusal


def visible_customer(caller: Caller, customer_id: UUID) -> Customer:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    found = Customer.objects.filter(caller.own("pk"), pk=customer_id).first()
    if found is None:
        raise not_found("customer")
    return found


def _tenants_time_zone() -> str:
    return Tenant.objects.get(pk=current_tenant_id()).time_zone


def _details(customer_ids: list[UUID]) -> dict[UUID, BillingDetails]:
    rows = BillingDetails.objects.filter(customer__in=customer_ids)
    return {details.customer_id: details for details in rows}


def _shown_now(customer: Customer) -> CustomerOut:
    return _shown(customer, _details([customer.pk]).get(customer.pk))


def _shown(customer: Customer, details: BillingDetails | None) -> CustomerOut:
    known = details or BillingDetails(customer=customer)
    billing: dict[str, Any] = {name: getattr(known, name) for name in BillingOut.model_fields}
    return CustomerOut(
        id=customer.pk,
        reference=customer.reference,
        name=customer.name,
        time_zone=customer.time_zone,
        created_at=customer.created_at,
        billing=BillingOut(**billing),
    )
