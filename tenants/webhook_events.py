"""The types of events, with what each tells. docs/webhooks.md has their data."""

from typing import Final

# Told to the tenant's own endpoints and to those of the customer that it is about.
_OF_A_CUSTOMER: Final = {
    "usage.threshold": "a budget has reached one of its thresholds",
    "invoice.finalized": "an invoice, credit note or debit note was issued",
    "invoice.sent": "an issued document was sent to the customer",
    "invoice.paid": "nothing is open of an invoice any more",
    "invoice.overdue": "an invoice is due and not paid",
    "invoice.voided": "an invoice was taken back by a credit note",
    "customer.suspended": "a customer is suspended, as an invoice is not paid",
    "customer.resumed": "a suspended customer goes on",
    "payment.succeeded": "money was received",
    "payment.failed": "a payment was declined",
    "payment.requires_action": "a payment waits for the customer to confirm it",
    "payment.refunded": "money was given back",
}
# How the tenant runs its business: its customers' endpoints are not told.
_OF_THE_TENANT: Final = {
    "invoice.created": "a draft was made",
    "invoice.written_off": "what is open of an invoice was given up",
    "agent.enrolled": "a host was enrolled",
    "agent.silent": "a host has delivered nothing for as long as its policy allows",
    "agent.recovered": "a silent host delivers again",
    "agent.outdated": "a host's agent is older than its policy allows",
    "fault.raised": "something in the metered usage needs an operator",
    "fault.cleared": "a fault is over",
}
# Sent on request, to one endpoint.
TEST: Final = "webhook.test"

CUSTOMER_EVENT_TYPES: Final = tuple(_OF_A_CUSTOMER)
EVENT_TYPES: Final = {**_OF_A_CUSTOMER, **_OF_THE_TENANT}


class UnknownEventType(ValueError):
    """There is no such type, or it is not one that a customer is told of."""


def usable_types(wanted: list[str], *, of_customer: bool) -> list[str]:
    """Sorted, each once. Raises UnknownEventType, which names the first that is none."""
    known = CUSTOMER_EVENT_TYPES if of_customer else tuple(EVENT_TYPES)
    for each in wanted:
        if each not in known:
            raise UnknownEventType(f"no events of type {each[:40]}; there are: {', '.join(known)}")
    return sorted(set(wanted))
