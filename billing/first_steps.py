"""What a tenant still lacks before it can bill. Each step is ticked off by what is there, and by
nothing that anybody says; what the demo made up counts for nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Exists, Model, Q, QuerySet

from billing.models import BillingSettings, Invoice, PlanVersion, Subscription
from metering.models import Assignment, Host
from tenants.models import Customer, Environment, Policy, Tenant
from tenants.scope import current_tenant_id


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: `route` leads to where, `button` says what is done there; `permission` is
    what it takes."""

    name: str
    why: str
    route: str
    button: str
    permission: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """All steps in their order."""

    steps: tuple[Step, ...]
    is_dismissed: bool

    @property
    def done(self) -> int:
        return sum(step.is_done for step in self.steps)

    @property
    def is_complete(self) -> bool:
        return self.done == len(self.steps)

    @property
    def next(self) -> Step | None:
        return next((step for step in self.steps if not step.is_done), None)


_Made = Callable[[], "QuerySet[Model]"]
_REAL_INVOICE = Q(finalized_at__isnull=False, customer__generated=False)

# Name, why, route, button, permission, and what there is of it once it is done.
_STEPS: tuple[tuple[str, str, str, str, str, _Made], ...] = (
    (
        "Say who bills",
        "Your name, address and tax number stand on every invoice.",
        "admin:billing_billingsettings_changelist",
        "Billing settings",
        "billing.add_billingsettings",
        lambda: BillingSettings.objects.exclude(legal_name="").exclude(country=""),
    ),
    (
        "Publish a plan",
        "Its prices say what usage costs. Try them on last month's usage before you publish.",
        "admin:billing_plan_changelist",
        "Plans",
        "billing.add_plan",
        lambda: PlanVersion.objects.filter(published_at__isnull=False),
    ),
    (
        "Add a customer",
        "Whom you bill, with their own time zone: their days and months follow it.",
        "admin:tenants_customer_add",
        "Add a customer",
        "tenants.add_customer",
        lambda: Customer.objects.filter(generated=False),
    ),
    (
        "Subscribe the customer to the plan",
        "From when on, and how often they are billed.",
        "admin:billing_subscription_add",
        "Add a subscription",
        "billing.add_subscription",
        lambda: Subscription.objects.filter(customer__generated=False),
    ),
    (
        "Add an environment",
        "Where applications run, such as production. New ones can be billed to a customer at once.",
        "admin:tenants_environment_add",
        "Add an environment",
        "tenants.add_environment",
        lambda: Environment.objects.filter(generated=False),
    ),
    (
        "Give it a policy",
        "When a host counts as silent, and how its usage is treated until it speaks again.",
        "admin:tenants_policy_changelist",
        "Policies",
        "tenants.add_policy",
        lambda: Policy.objects.filter(environment__generated=False),
    ),
    (
        "Add a host",
        "One command on it installs the agent. Done once its first usage has come.",
        "admin:metering_host_enrol",
        "Add a host",
        "tenants.add_enrolmenttoken",
        lambda: Host.objects.filter(generated=False, last_seen_at__isnull=False),
    ),
    (
        "Assign an application to the customer",
        "From when on its usage is billed to them; what is assigned to nobody waits and is kept.",
        "admin:metering_application_changelist",
        "Applications",
        "metering.add_assignment",
        lambda: Assignment.objects.filter(application__generated=False, customer__generated=False),
    ),
    (
        "Issue the first invoice",
        "Its draft appears when the billing period has ended; look through it and finalize it.",
        "admin:billing_invoice_changelist",
        "Invoices",
        "billing.change_invoice",
        lambda: Invoice.objects.filter(_REAL_INVOICE),
    ),
)


def first_steps() -> FirstSteps:
    """How far the tenant is, in one query."""
    made = {f"step_{number}": Exists(step[-1]()) for number, step in enumerate(_STEPS)}
    tenant = (
        Tenant.objects.filter(pk=current_tenant_id())
        .annotate(**made)
        .values("guide_dismissed_at", *made)
        .get()
    )
    return FirstSteps(
        tuple(
            Step(*step[:-1], is_done=tenant[f"step_{number}"]) for number, step in enumerate(_STEPS)
        ),
        is_dismissed=tenant["guide_dismissed_at"] is not None,
    )
