"""What an API key may do, in one word each: <resource>:<what>."""

from typing import Final

SCOPES: Final = {
    "allocation:read": "read how hosts' idle usage is spread",
    "allocation:write": "say how hosts' idle usage is spread",
    "applications:read": "list environments and applications, and whom they are billed to",
    "applications:write": "say whom applications are billed to",
    "backtests:run": "rate a past period under a draft of prices",
    "budgets:read": "read budgets and their alerts",
    "budgets:write": "keep budgets",
    "corrections:read": "read corrections of usage",
    "corrections:write": "correct usage",
    "credit:read": "read credit and wallets",
    "credit:write": "grant credit, keep wallets",
    "customers:read": "read customers and how they are billed",
    "customers:write": "add and change customers",
    "environments:read": "read how environments are configured",
    "environments:write": "add, configure, retire and remove environments",
    "events:write": "deliver usage as events",
    "invoices:read": "read upcoming and issued invoices",
    "invoices:write": "finalize invoices, record what happens to them",
    "plans:read": "read plans and their prices",
    "plans:write": "add plans and publish prices",
    "policies:read": "read policies and their versions",
    "policies:write": "draft, publish, roll out and take back policies",
    "subscriptions:read": "read subscriptions, own prices and discounts",
    "subscriptions:write": "begin and end subscriptions, own prices and discounts",
    "usage:read": "query usage",
    "webhooks:read": "read webhook endpoints and what was sent to them",
    "webhooks:write": "keep webhook endpoints, send again",
}
_OPERATORS: Final = frozenset(
    {"allocation:read", "corrections:read", "environments:read", "policies:read"}
)
# A customer's own key looks and changes nothing: neither its plan nor its credit. Corrections,
# rules and policies are of the operator's hosts.
CUSTOMER_SCOPES: Final = tuple(
    scope for scope in SCOPES if scope.endswith(":read") and scope not in _OPERATORS
)
