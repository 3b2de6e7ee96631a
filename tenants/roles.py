"""What each role may do in the admin. Roles belong to a membership, so they hold in one tenant."""

_OPERATES = frozenset(
    {
        "metering.host",
        "metering.agentsettings",
        "metering.application",
        "metering.assignment",
        "metering.allocationrule",
        "metering.correction",
        "tenants.environment",
        "tenants.policy",
        "tenants.policyversion",
        "metering.hostenvironment",
        "tenants.enrolmenttoken",
        "tenants.apikey",
        "tenants.webhookendpoint",
        "billing.budgetrequest",
        "tenants.mailmessage",
    }
)
_BILLS = frozenset(
    {
        "tenants.customer",
        "tenants.mailmessage",
        "metering.allocationrule",
        "metering.assignment",
        "metering.correction",
        "billing.plan",
        "billing.planversion",
        "billing.planterms",
        "billing.priceoverride",
        "billing.discount",
        "billing.price",
        "billing.subscription",
        "billing.invoice",
        "billing.invoiceline",
        "billing.lateusage",
        "billing.dispute",
        "billing.billingrun",
        "billing.billingdetails",
        "billing.billingsettings",
        "billing.taxrate",
        "billing.creditgrant",
        "billing.wallet",
        "billing.processoraccount",
        "billing.budget",
        "billing.budgetrequest",
        "billing.dunningstep",
        "billing.suspension",
    }
)
_PEOPLE = frozenset({"tenants.member", "tenants.signinprovider"})
# Everything at once, every customer's data included.
_TAKES_ALONG = frozenset({"tenants.tenantexport"})

_CHANGES: dict[str, frozenset[str]] = {
    "owner": _OPERATES | _BILLS | _PEOPLE | _TAKES_ALONG,
    "operator": _OPERATES,
    "billing": _BILLS,
    "viewer": frozenset(),
}
# Agents name instances and make their keys, and invoices make these; nobody writes them.
_SEEN = frozenset(
    {
        "metering.instance",
        "metering.hostkey",
        "metering.policybreach",
        "tenants.tenant",
        "billing.budgetalert",
        "tenants.webhookdelivery",
        "tenants.webhookattempt",
        "tenants.auditentry",
        "billing.invoicetax",
        "billing.payment",
        "billing.paymentattempt",
        "billing.refund",
        "billing.processorevent",
        "billing.disputemessage",
        "billing.journalentry",
        "billing.posting",
        "billing.creditmovement",
        "billing.topup",
        "billing.finalizing",
    }
)
_VIEWS = _OPERATES | _BILLS | _PEOPLE | _SEEN


def staff_may(role: str, permission: str) -> bool:
    """Whether a tenant's staff member may do `permission`, named "app.action_model" as Django
    does."""
    app_label, _, codename = permission.partition(".")
    action, _, model = codename.partition("_")
    subject = f"{app_label}.{model}"
    if action == "view":
        return subject in _VIEWS
    return action in {"add", "change", "delete"} and subject in _CHANGES[role]


def installation_owner_may(permission: str) -> bool:
    """The owner of the installation keeps the list of tenants and looks into none of them."""
    return permission in {
        "tenants.view_tenant",
        "tenants.add_tenant",
        "tenants.change_tenant",
        "tenants.view_tenantusage",
    }
