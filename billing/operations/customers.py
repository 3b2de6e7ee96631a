"""Adding and changing customers, with how they are billed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from billing.models import BillingDetails
from billing.taxes import may_be_vat_id
from tenants.audit import note
from tenants.models import Customer
from tenants.refusals import constraint_of


class ReferenceInUse(Exception):
    """Another customer of the tenant has this reference."""


class VatIdNotOfCountry(Exception):
    """The VAT id cannot be one of the customer's country."""


def add_customer(fields: Mapping[str, Any], billing: Mapping[str, Any]) -> Customer:
    """A new customer with these fields of Customer and of BillingDetails. Raises ReferenceInUse,
    VatIdNotOfCountry."""
    with _reference_free(fields), transaction.atomic():
        customer = Customer.objects.create(**fields)
        if billing:
            _check_vat_id(BillingDetails.objects.create(customer=customer, **billing))
        return customer


def change_customer(
    customer: Customer, fields: Mapping[str, Any], billing: Mapping[str, Any], *, as_of: datetime
) -> Customer:
    """Change what is named, and nothing else. Raises ReferenceInUse, VatIdNotOfCountry."""
    with _reference_free(fields), transaction.atomic():
        locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        for name, value in fields.items():
            setattr(locked, name, value)
        if fields:
            locked.save(update_fields=list(fields))
        if billing:
            details, _ = BillingDetails.objects.update_or_create(
                customer=locked, defaults=dict(billing)
            )
            _check_vat_id(details)
        changed = [*fields, *billing]
        if changed:
            note_billing_changed(locked, changed, as_of=as_of)
        return locked


def note_billing_changed(customer: Customer, names: Iterable[str], *, as_of: datetime) -> None:
    """In the audit log: which of a customer's details were written, and not what they are now."""
    note(
        "billing_details_changed",
        as_of=as_of,
        customer=customer,
        subject=customer.name,
        changed=sorted(names),
    )


def _check_vat_id(details: BillingDetails) -> None:
    if not may_be_vat_id(details.vat_id, details.country):
        raise VatIdNotOfCountry(
            f"this is no VAT id of {details.country}: the form or a check digit is wrong"
        )


@contextmanager
def _reference_free(fields: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if constraint_of(error) == "customer_reference":
            raise ReferenceInUse(f"another customer has {fields['reference']}") from error
        raise
