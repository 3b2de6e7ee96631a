"""Which addresses there are, the type of each one's parameters, and what carries it out."""

import re
from dataclasses import dataclass
from typing import Final

from billing.fake_stripe import checkout, hooks, intents, methods, parties, refunds, setups
from billing.fake_stripe.calls import Endpoint
from billing.fake_stripe.lists import list_of
from billing.fake_stripe.refusals import Refused
from billing.fake_stripe.searches import search_of

_ID: Final = r"([A-Za-z0-9_]{1,80})"


@dataclass(frozen=True, slots=True)
class Route:
    """`knows` are the parameters that are carried out; None: all that the type has."""

    method: str
    address: re.Pattern[str]
    shape: str | None
    endpoint: Endpoint
    knows: frozenset[str] | None = None


def _route(
    method: str,
    address: str,
    shape: str | None,
    endpoint: Endpoint,
    knows: frozenset[str] | None = None,
) -> Route:
    return Route(method, re.compile("/v1/" + address.replace("ID", _ID)), shape, endpoint, knows)


_READ: Final = frozenset({"expand"})
_LIST: Final = frozenset({"created", "customer", "ending_before", "expand", "limit",
                          "starting_after"})  # fmt: skip

ROUTES: Final = (
    _route("GET", "account", None, parties.retrieve_account),
    _route("POST", "customers", "CustomerCreateParams", parties.create_customer,
           parties.CUSTOMER_PARAMS),
    _route("GET", "customers", "CustomerListParams", list_of("customer", "customer"),
           _LIST | {"email"}),
    _route("GET", "customers/search", "CustomerSearchParams", search_of("customer")),
    _route("GET", "customers/ID", "CustomerRetrieveParams", parties.retrieve_customer, _READ),
    _route("POST", "customers/ID", "CustomerUpdateParams", parties.update_customer,
           parties.CUSTOMER_PARAMS),
    _route("DELETE", "customers/ID", "CustomerDeleteParams", parties.delete_customer),
    _route("GET", "customers/ID/payment_methods", "CustomerPaymentMethodListParams",
           list_of("payment_method", "PaymentMethod"), _LIST | {"type"}),
    _route("GET", "customers/ID/payment_methods/ID", "CustomerPaymentMethodRetrieveParams",
           methods.retrieve_method_of_customer, _READ),
    _route("GET", "payment_methods", "PaymentMethodListParams",
           list_of("payment_method", "PaymentMethod"), _LIST | {"type"}),
    _route("GET", "payment_methods/ID", "PaymentMethodRetrieveParams", methods.retrieve_method,
           _READ),
    _route("POST", "payment_methods/ID/attach", "PaymentMethodAttachParams",
           methods.attach_method, methods.ATTACH_PARAMS),
    _route("POST", "payment_methods/ID/detach", "PaymentMethodDetachParams",
           methods.detach_method, _READ),
    _route("POST", "setup_intents", "SetupIntentCreateParams", setups.create_setup,
           setups.CREATE_PARAMS),
    _route("GET", "setup_intents", "SetupIntentListParams",
           list_of("setup_intent", "setupintent"), _LIST),
    _route("GET", "setup_intents/ID", "SetupIntentRetrieveParams", setups.retrieve_setup, _READ),
    _route("POST", "checkout/sessions", "SessionCreateParams", checkout.create_session,
           checkout.CREATE_PARAMS),
    _route("GET", "checkout/sessions", "SessionListParams",
           list_of("checkout.session", "checkout.session"), _LIST | {"payment_intent"}),
    _route("GET", "checkout/sessions/ID", "SessionRetrieveParams", checkout.retrieve_session,
           _READ),
    _route("POST", "checkout/sessions/ID/expire", "SessionExpireParams",
           checkout.expire_session, _READ),
    _route("POST", "payment_intents", "PaymentIntentCreateParams", intents.create_intent,
           intents.CREATE_PARAMS),
    _route("GET", "payment_intents", "PaymentIntentListParams",
           list_of("payment_intent", "payment_intent"), _LIST),
    _route("GET", "payment_intents/search", "PaymentIntentSearchParams",
           search_of("payment_intent")),
    _route("GET", "payment_intents/ID", "PaymentIntentRetrieveParams", intents.retrieve_intent,
           _READ),
    _route("POST", "payment_intents/ID", "PaymentIntentUpdateParams", intents.update_intent,
           frozenset({"description", "expand", "metadata"})),
    _route("POST", "payment_intents/ID/confirm", "PaymentIntentConfirmParams",
           intents.confirm_intent, intents.CONFIRM_PARAMS),
    _route("POST", "payment_intents/ID/cancel", "PaymentIntentCancelParams",
           intents.cancel_intent),
    _route("GET", "charges", "ChargeListParams", list_of("charge", "charge"),
           _LIST | {"payment_intent"}),
    _route("GET", "charges/search", "ChargeSearchParams", search_of("charge")),
    _route("GET", "charges/ID", "ChargeRetrieveParams", intents.retrieve_charge, _READ),
    _route("POST", "refunds", "RefundCreateParams", refunds.create_refund,
           refunds.CREATE_PARAMS),
    _route("GET", "refunds", "RefundListParams", list_of("refund", "refund"),
           _LIST | {"charge", "payment_intent"}),
    _route("GET", "refunds/ID", "RefundRetrieveParams", refunds.retrieve_refund, _READ),
    _route("GET", "events", "EventListParams", list_of("event", "event"),
           _LIST | {"type", "types"}),
    _route("GET", "events/ID", "EventRetrieveParams", hooks.retrieve_event, _READ),
    _route("POST", "webhook_endpoints", "WebhookEndpointCreateParams", hooks.create_endpoint,
           hooks.CREATE_PARAMS),
    _route("GET", "webhook_endpoints", "WebhookEndpointListParams",
           list_of("webhook_endpoint", "webhook endpoint"), _LIST),
    _route("GET", "webhook_endpoints/ID", "WebhookEndpointRetrieveParams",
           hooks.retrieve_endpoint, _READ),
    _route("DELETE", "webhook_endpoints/ID", "WebhookEndpointDeleteParams",
           hooks.delete_endpoint),
)  # fmt: skip


def route_to(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The route, and the ids in the address. Raises Refused where there is none."""
    for route in ROUTES:
        match = route.address.fullmatch(path)
        if match and route.method == method:
            return route, tuple(match.groups())
    raise Refused(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({method}: {path[:200]}). The fake Stripe knows what Hostmeter"
        " uses, and no more.",
        code="not_in_the_fake",
    )
