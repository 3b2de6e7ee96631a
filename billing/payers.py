"""Payment methods: entering one on the processor's page, choosing and removing one.

No money moves here, so these may be called inside a request: what is lost is done again.
"""

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from billing.gateway import PaymentMethod, Session, Stripe, account_of_tenant
from billing.operations.payers import keep_default_method, keep_payer, payer_of
from billing.queries.parties import billing_currency, recipient_of
from tenants.audit import note
from tenants.models import Customer
from tenants.scope import current_tenant_id, tenant_scope


class MethodUnknown(Exception):
    """The customer has no such payment method."""


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A method of payment as its owner knows it: "visa •••• 4242", "12/2030"."""

    id: str
    label: str
    expires: str
    is_default: bool


def known_payer(tenant_id: UUID, processor: Stripe, customer_id: UUID) -> str:
    """The processor's id of the customer, who is made known first where they are not. Raises
    GatewayError's kinds."""
    with tenant_scope(tenant_id):
        known = payer_of(customer_id)
        if known is not None:
            return known
        customer = Customer.objects.get(pk=customer_id)
        email = recipient_of(customer)
    made = processor.create_customer(
        name=customer.name,
        email=email,
        reference=str(customer.pk),
        key=f"hostmeter-customer-{customer.pk}",
    )
    with tenant_scope(tenant_id):
        return keep_payer(customer, made)


def start_card_setup(customer: Customer, *, success_url: str, cancel_url: str, key: str) -> Session:
    """A page of the processor's on which the customer enters a payment method; `key` makes the
    same request the same page. Raises NoAccount and GatewayError's kinds."""
    processor = Stripe(account_of_tenant())
    payer = known_payer(current_tenant_id(), processor, customer.pk)
    return processor.open_setup(
        payer,
        currency=billing_currency(customer),
        success_url=success_url,
        cancel_url=cancel_url,
        key=f"hostmeter-setup-{customer.pk}-{key}",
    )


def finish_card_setup(customer: Customer, session_id: str) -> bool:
    """After the customer came back: what they entered is what invoices are paid with. Whether
    anything was entered. Raises GatewayError's kinds."""
    processor = Stripe(account_of_tenant())
    session = processor.session(session_id)
    if session.status != "complete" or not session.setup_intent_id:
        return False
    method_id = processor.setup_method(session.setup_intent_id)
    owned = {each.id: each for each in _methods(processor, customer)}
    # The session's number came by the browser: it may be another customer's.
    if method_id not in owned:
        return False
    _set_default(processor, customer, owned[method_id])
    return True


def saved_payment_methods(customer: Customer) -> list[SavedMethod]:
    """What the customer can pay with, the default first. Raises NoAccount and GatewayError's
    kinds."""
    if payer_of(customer.pk) is None:
        return []
    processor = Stripe(account_of_tenant())
    payer = payer_of(customer.pk)
    default = processor.default_method(payer) if payer else ""
    saved = [
        SavedMethod(each.id, _label(each), each.expires, each.id == default)
        for each in _methods(processor, customer)
    ]
    return sorted(saved, key=lambda each: not each.is_default)


def set_default_payment_method(customer: Customer, method_id: str) -> None:
    """Raises MethodUnknown, NoAccount and GatewayError's kinds."""
    processor = Stripe(account_of_tenant())
    _set_default(processor, customer, _owned(processor, customer, method_id))


def remove_payment_method(customer: Customer, method_id: str) -> None:
    """Nothing is charged to it any more. Raises MethodUnknown, NoAccount and GatewayError's
    kinds."""
    processor = Stripe(account_of_tenant())
    method = _owned(processor, customer, method_id)
    payer = payer_of(customer.pk)
    was_default = payer is not None and processor.default_method(payer) == method.id
    processor.detach_method(method.id)
    if was_default:
        keep_default_method(customer.pk, "", "")
    _note("removed", customer, method)


def _set_default(processor: Stripe, customer: Customer, method: PaymentMethod) -> None:
    payer = payer_of(customer.pk)
    if payer is not None:
        processor.set_default_method(payer, method.id)
        # The processor tells of what a person did here, too: it is noted once.
        if keep_default_method(customer.pk, method.id, _label(method)):
            _note("chosen", customer, method)


def _note(change: str, customer: Customer, method: PaymentMethod) -> None:
    note(
        "payment_method_changed",
        as_of=timezone.now(),
        customer=customer,
        subject=_label(method),
        change=change,
    )


def _methods(processor: Stripe, customer: Customer) -> list[PaymentMethod]:
    payer = payer_of(customer.pk)
    return processor.methods(payer) if payer else []


def _owned(processor: Stripe, customer: Customer, method_id: str) -> PaymentMethod:
    for each in _methods(processor, customer):
        if each.id == method_id:
            return each
    raise MethodUnknown("there is no such payment method")


def _label(method: PaymentMethod) -> str:
    return f"{method.brand} •••• {method.last4}" if method.last4 else method.brand
