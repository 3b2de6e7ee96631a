"""Customers, and the account itself."""

from typing import Final

from billing.fake_stripe.books import shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.refusals import Fields, invalid, missing

CUSTOMER_PARAMS: Final = frozenset(
    {"address", "description", "email", "invoice_settings", "metadata", "name", "phone",
     "preferred_locales", "expand"}
)  # fmt: skip
_TEXTS: Final = ("description", "email", "name", "phone")


def create_customer(call: Call) -> Fields:
    customer = call.made(
        "cus",
        "customer",
        address=call.nested("address") or None,
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        description=call.text("description"),
        email=call.text("email"),
        invoice_settings=_invoice_settings(call, None),
        metadata=metadata(call),
        name=call.text("name"),
        phone=call.text("phone"),
        preferred_locales=call.fields.get("preferred_locales") or [],
        shipping=None,
        tax_exempt="none",
    )
    call.books.add(call.account, customer)
    call.happen("customer.created", customer)
    return shown(customer)


def update_customer(call: Call) -> Fields:
    customer = call.one("customer", "customer", call.ids[0])
    for name in _TEXTS:
        if name in call.fields:
            customer[name] = call.text(name)
    if "address" in call.fields:
        customer["address"] = call.nested("address") or None
    if "invoice_settings" in call.fields:
        customer["invoice_settings"] = _invoice_settings(call, customer)
    customer["metadata"] = metadata(call, customer["metadata"])
    call.keep(customer, "customer.updated")
    return shown(customer)


def _invoice_settings(call: Call, customer: Fields | None) -> Fields:
    given = call.nested("invoice_settings")
    method = given.get("default_payment_method")
    at = "invoice_settings[default_payment_method]"
    if method:
        found = call.books.get(call.account, "payment_method", str(method))
        if found is None:
            raise missing("PaymentMethod", str(method), param=at)
        if customer is None or found["customer"] != customer["id"]:
            raise invalid("The payment method is not attached to this customer", param=at)
    before = customer["invoice_settings"] if customer else {}
    return {
        "custom_fields": None,
        "default_payment_method": method or None if given else before.get("default_payment_method"),
        "footer": None,
        "rendering_options": None,
    }


def retrieve_customer(call: Call) -> Fields:
    found = call.books.get(call.account, "customer", call.ids[0])
    if found is None:
        raise missing("customer", call.ids[0])
    if found.get("deleted"):
        return {"id": found["id"], "object": "customer", "deleted": True}
    return shown(found)


def delete_customer(call: Call) -> Fields:
    customer = call.one("customer", "customer", call.ids[0])
    call.keep(customer | {"deleted": True}, "customer.deleted")
    return {"id": customer["id"], "object": "customer", "deleted": True}


def retrieve_account(call: Call) -> Fields:
    return {
        "id": call.account,
        "object": "account",
        "charges_enabled": True,
        "country": "DE",
        "default_currency": "eur",
        "details_submitted": True,
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "The fake Stripe"}},
        "type": "standard",
    }
