"""Whom the processor knows our customers as, and what they pay with by themselves."""

from uuid import UUID

from billing.models import PayingCustomer
from tenants.models import Customer


def payer_of(customer_id: UUID) -> str | None:
    """The processor's id of a customer; None where it does not know them yet."""
    return (
        PayingCustomer.objects.filter(customer=customer_id)
        .values_list("processor_id", flat=True)
        .first()
    )


def keep_payer(customer: Customer, processor_id: str) -> str:
    """Note the processor's id; the one that was noted first stays."""
    payer, _ = PayingCustomer.objects.get_or_create(
        customer=customer, defaults={"processor_id": processor_id}
    )
    return payer.processor_id


def keep_default_method(customer_id: UUID, method_id: str, label: str) -> bool:
    """Note what the customer's invoices are paid with, empty for nothing; whether it is another
    than before."""
    payers = PayingCustomer.objects.filter(customer=customer_id).exclude(method_id=method_id)
    return bool(payers.update(method_id=method_id, method_label=label))


def customer_paying_as(processor_id: str) -> PayingCustomer | None:
    return PayingCustomer.objects.filter(processor_id=processor_id).first()


def forget_payers() -> None:
    """After another account was chosen, which knows nobody yet. What they had saved there stays
    there; they enter it again."""
    PayingCustomer.objects.all().delete()
