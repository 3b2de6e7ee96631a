"""Credit that pays a customer's invoices before money is due."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.customers import visible_customer
from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.core.exact import ZERO
from billing.models import CreditGrant
from billing.operations import CreditNotGrantable, GrantVoided, NewGrant, grant_credit, void_grant
from billing.price_codes import UnknownPriceCode
from billing.queries.credit import grants_left
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Taken, example, one_of, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

credit = Resources()

Amount = Annotated[Decimal, DecimalText(18, 4)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=PRINTABLE)]


class GrantIn(Taken):
    """The lowest `priority` is spent first. Without `price_codes` it pays whole invoices."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "kind": "promotional",
            "currency": "EUR",
            "amount": "25",
            "expires_at": "2027-01-01T00:00:00Z",
            "note": "Welcome",
        }
    )

    customer_id: UUID
    kind: Literal["paid", "promotional"]
    currency: CurrencyCode
    amount: Amount
    priority: Annotated[int, Field(ge=0, le=999, strict=True)] = 50
    price_codes: Annotated[list[Line], Field(max_length=100)] = []
    expires_at: Instant | None = None
    note: Annotated[str, text(200)] = ""


class GrantVoid(Taken):
    model_config = example({"reason": "Granted twice."})

    reason: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]


class GrantOut(Given):
    """`left` is what was neither spent nor ended."""

    id: UUID
    customer_id: UUID
    kind: Annotated[str, one_of(CreditGrant.Kind)]
    currency: str
    amount: Exact
    left: Exact
    priority: int
    price_codes: list[str]
    expires_at: Instant | None
    note: str
    granted_at: Instant
    voided_at: Instant | None
    void_reason: str


class GrantFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None


@credit.reading(
    "/credit-grants", scope="credit:read", answers=Page[GrantOut], summary="List credit grants"
)
def list_credit_grants(request: ApiRequest, filters: Query[GrantFilters]) -> Page[GrantOut]:
    rows = CreditGrant.objects.filter(request.caller.own("customer"))
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    page = page_of(rows, filters, lambda row: row, by="granted_at", newest_first=True)
    return Page(data=_shown(page.data), next=page.next)


@credit.creating(
    "/credit-grants", scope="credit:write", answers=GrantOut, summary="Grant a customer credit"
)
def create_credit_grant(request: ApiRequest, grant: GrantIn) -> GrantOut:
    customer = visible_customer(request.caller, grant.customer_id)
    new = NewGrant(
        customer=customer,
        kind=grant.kind,
        currency=grant.currency,
        amount=grant.amount,
        priority=grant.priority,
        price_codes=tuple(grant.price_codes),
        expires_at=grant.expires_at,
        note=grant.note,
    )
    try:
        return _one(grant_credit(new, as_of=request.as_of))
    except UnknownPriceCode as refusal:
        raise unprocessable(("price_codes", str(refusal))) from refusal
    except CreditNotGrantable as refusal:
        at = "amount" if grant.amount <= ZERO or grant.expires_at is None else "expires_at"
        raise unprocessable((at, str(refusal))) from refusal


@credit.reading(
    "/credit-grants/{uuid:grant_id}",
    scope="credit:read",
    answers=GrantOut,
    summary="Read a credit grant",
)
def get_credit_grant(request: ApiRequest, grant_id: UUID) -> GrantOut:
    return _one(_visible(request.caller, grant_id))


@credit.acting(
    "/credit-grants/{uuid:grant_id}/void",
    scope="credit:write",
    answers=GrantOut,
    summary="Take back what is left of a credit grant",
)
def void_credit_grant(request: ApiRequest, grant_id: UUID, void: GrantVoid) -> GrantOut:
    grant = _visible(request.caller, grant_id)
    try:
        return _one(void_grant(grant, void.reason, as_of=request.as_of))
    except GrantVoided as refusal:
        raise conflict("grant-voided", f"{refusal}.") from refusal


def _visible(caller: Caller, grant_id: UUID) -> CreditGrant:
    found = CreditGrant.objects.filter(caller.own("customer"), pk=grant_id).first()
    if found is None:
        raise not_found("credit grant")
    return found


def _one(grant: CreditGrant) -> GrantOut:
    return _shown([grant])[0]


def _shown(grants: list[CreditGrant]) -> list[GrantOut]:
    return [
        GrantOut(
            id=grant.pk,
            customer_id=grant.customer_id,
            kind=grant.kind,
            currency=grant.currency,
            amount=grant.amount,
            left=left,
            priority=grant.priority,
            price_codes=grant.price_codes,
            expires_at=grant.expires_at,
            note=grant.note,
            granted_at=grant.granted_at,
            voided_at=grant.voided_at,
            void_reason=grant.void_reason,
        )
        for grant, left in grants_left(grants)
    ]
