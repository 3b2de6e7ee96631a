"""A tenant with one of everything that the admin lists."""

from decimal import Decimal
from uuid import uuid4

from django.utils import timezone

from billing.gateway.account import sealed
from billing.models import (
    BillingDetails,
    BillingRun,
    BillingSettings,
    Discount,
    DunningStep,
    Finalizing,
    Invoice,
    Payment,
    PaymentAttempt,
    PlanTerms,
    PriceOverride,
    ProcessorAccount,
    ProcessorEvent,
    Refund,
    Suspension,
    TaxRate,
)
from billing.operations import Saying, close_due, finalize_invoice, open_dispute
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import BudgetTerms, add_budget
from metering.allocation_rules import state_rule
from metering.breach_models import PolicyBreach
from metering.control_models import AgentSettings
from metering.corrections import delete_usage
from metering.models import Host
from tenants.audit import note
from tenants.export_models import TenantExport
from tenants.mail import queue
from tenants.models import Environment, Member, Policy, Tenant, User
from tenants.operations import issue_api_key, issue_enrolment_token
from tenants.policies import draft_of
from tenants.scope import tenant_scope
from tenants.sign_in_models import SignInProvider
from tenants.webhook_endpoints import add_endpoint, send_test
from tests.billing.money import grant, wallet_of
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use
from tests.conftest import make_tenant


def _pay_something(word: str, invoice: Invoice) -> None:
    """What paying an invoice leaves behind."""
    PaymentAttempt.objects.create(
        invoice=invoice, number=1, way="checkout", amount=1, currency="EUR", created_at=NOVEMBER
    )
    payment = Payment.objects.create(
        invoice=invoice, amount=1, received_on=NOVEMBER.date(), reference=f"{word} transfer"
    )
    Refund.objects.create(
        payment=payment, note=invoice, number=1, amount=1, currency="EUR", created_at=NOVEMBER,
        author=f"{word}@demo.example",
    )  # fmt: skip
    ProcessorEvent.objects.create(
        event_id=f"evt_{word}", type="payment_intent.created", body="{}", received_at=NOVEMBER
    )


def fill(tenant: Tenant, *words: str) -> None:
    """One of everything for each word, which is in every name; and what a tenant has one of."""
    with tenant_scope(tenant.pk):
        _fill_settings(words[0])
        for number, word in enumerate(words, 1):
            _fill_billing(word, number)


def _fill_settings(word: str) -> None:
    BillingSettings.objects.create(legal_name=f"{word} host", country="DE")
    ProcessorAccount.objects.create(sealed_secret_key=sealed(word))
    SignInProvider.objects.create(
        name=f"{word}-login", issuer=f"https://login.{word}.example", client_id=word,
        sealed_secret="-",
    )  # fmt: skip


def _fill_billing(word: str, number: int) -> None:
    story = begin_story(word, f"{word} plan")
    BillingDetails.objects.create(
        customer=story.customer, legal_name=f"{word} limited", country="DE"
    )
    Discount.objects.create(
        name=f"{word}-rebate", customer=story.customer, percent=10, starts_at=NOVEMBER
    )
    PriceOverride.objects.create(
        customer=story.customer, code=f"{word}-code", currency="EUR",
        definition={"unit_price": "1"}, starts_at=NOVEMBER, reason=f"{word}-offer",
    )  # fmt: skip
    version = story.plan.versions.get()
    PlanTerms.objects.create(plan_version=version, currency="EUR", minimum=10)
    (draft,) = close_due(as_of=NOVEMBER)
    issued = finalize_invoice(draft, as_of=NOVEMBER)
    said = Saying(uuid4(), f"{word}@example.com", f"{word} objection")
    open_dispute(issued.lines.earliest("position"), "price", said, as_of=NOVEMBER)
    # A tenant has one of these at a time.
    finished_at = NOVEMBER if number > 1 else None
    BillingRun.objects.create(as_of=NOVEMBER, finished_at=finished_at)
    TenantExport.objects.create(asked_by=f"{word}@example.com", finished_at=finished_at)
    Finalizing.objects.create(author=f"{word}@example.com")
    use(story.shop, at(10, 3), cpu_us=1)
    delete_usage(
        story.shop, (at(9, 4), at(9, 5)), reason=f"{word}-reason", author="a@b.example",
        as_of=NOVEMBER,
    )  # fmt: skip
    state_rule(
        "cpu.time", "evenly", starts_at=NOVEMBER, author=f"{word}@example.com",
        as_of=NOVEMBER, host_class=f"{word}-class",
    )  # fmt: skip
    TaxRate.objects.create(
        name=f"{word} tax", country="DE", percent=19, valid_from=at(number, 1).date()
    )
    DunningStep.objects.create(action="remind", number=number, days_after_due=3)
    Suspension.objects.create(customer=story.customer, invoice=issued)
    _pay_something(word, issued)
    grant(story.customer, "20", note=f"{word} welcome")
    wallet_of(story.customer, "10")
    _fill_operations(word, story)


def _fill_operations(word: str, story: Story) -> None:
    """Hosts, keys, budgets, messages and people."""
    environment = Environment.objects.create(name=f"{word}-env")
    policy = draft_of(Policy.objects.create(name=f"{word}-policy"))
    host = Host.objects.create(name=f"{word}-host", environment=environment)
    AgentSettings.objects.create(host=host, rules=[{"name": f"{word}-rule", "user": word}])
    PolicyBreach.objects.create(
        version=policy, term="cpu_millicores", day=NOVEMBER.date(), environment=environment,
        host=host, limit=500, measured=900, first_over_at=NOVEMBER, last_over_at=NOVEMBER,
        standing=True, noticed_at=NOVEMBER,
    )  # fmt: skip
    issue_enrolment_token(environment, as_of=timezone.now())
    issue_api_key(f"{word}-key", ["usage:read"], as_of=timezone.now())
    terms = BudgetTerms(f"{word} budget", Decimal("0.01"), "EUR", at_limit="ask")
    add_budget(story.customer, terms, as_of=NOVEMBER)
    use(story.shop, at(10, 4), cpu_us=10 * HOUR_US)
    look_at_budgets(story.customer, as_of=at(10, 5))
    endpoint, _ = add_endpoint(f"https://{word}.example/", as_of=NOVEMBER)
    send_test(endpoint, as_of=NOVEMBER)
    queue(
        kind="new_sign_in", key=word, to=[f"{word}@mail.example"], language="en",
        context={"at": NOVEMBER.isoformat(), "device": word, "address": "", "url": "x"},
        as_of=NOVEMBER,
    )  # fmt: skip
    note("member_invited", as_of=NOVEMBER, subject=f"{word}@demo.example", reason=word)
    user = User.objects.create_user(f"{word}@demo.example")
    Member.objects.create(user=user, role="viewer")


def filled(slug: str, *words: str) -> Tenant:
    tenant = make_tenant(slug)
    fill(tenant, *words)
    return tenant
