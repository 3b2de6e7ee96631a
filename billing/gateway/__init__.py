"""The payment processor. Nothing else of ours imports its library.

Every call is one request with a time limit, made outside of transactions: the library's own retries
are off, for only the caller knows whether a request may be repeated. Amounts are whole minor units.
"""

from billing.gateway.account import (
    Account,
    NoAccount,
    account_of_tenant,
    is_fake,
)
from billing.gateway.errors import (
    GatewayError,
    NotNow,
    OutcomeUnknown,
    Refused,
)
from billing.gateway.stripe_api import (
    Intent,
    PaymentMethod,
    RefundSeen,
    Session,
    Stripe,
)
from billing.gateway.webhooks import Event, NotGenuine, read_event

__all__ = [
    "Account",
    "Event",
    "GatewayError",
    "Intent",
    "NoAccount",
    "NotGenuine",
    "NotNow",
    "OutcomeUnknown",
    "PaymentMethod",
    "RefundSeen",
    "Refused",
    "Session",
    "Stripe",
    "account_of_tenant",
    "is_fake",
    "read_event",
]
