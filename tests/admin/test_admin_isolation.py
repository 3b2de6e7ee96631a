"""A tenant's staff see their tenant, and what their role lets them."""

import re
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db.models import Model, TextChoices
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from billing.gateway.account import sealed
from billing.models import (
    BillingDetails,
    BillingRun,
    BillingSettings,
    CreditMovement,
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
    Subscription,
    Suspension,
    TaxRate,
)
from billing.operations import Saying, close_due, finalize_invoice, open_dispute
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import BudgetTerms, add_budget
from config.admin_site import UNFOLD
from metering.allocation_rules import state_rule
from metering.breach_models import PolicyBreach
from metering.control_models import AgentSettings
from metering.corrections import delete_usage
from metering.models import Host, Instance
from tenants.audit import note
from tenants.export_models import TenantExport
from tenants.mail import queue
from tenants.models import Customer, EnrolmentToken, Environment, Member, Policy, Tenant, User
from tenants.operations import issue_api_key, issue_enrolment_token
from tenants.policies import draft_of
from tenants.scope import tenant_scope
from tenants.sign_in_models import SignInProvider
from tenants.webhook_endpoints import add_endpoint, send_test
from tests.admin.signing_in import signed_in
from tests.billing.money import grant, wallet_of
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use
from tests.conftest import Keep, make_tenant

MODELS = [model for model in admin.site._registry if model is not Tenant]


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def pay_something(word: str) -> None:
    """What paying the one invoice leaves behind."""
    invoice = Invoice.objects.get()
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
    ProcessorAccount.objects.create(sealed_secret_key=sealed(word))


def fill(tenant: Tenant, word: str) -> None:
    """One of everything, with `word` in every name."""
    with tenant_scope(tenant.pk):
        story = begin_story(word, f"{word} plan")
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
        BillingRun.objects.create(as_of=NOVEMBER)
        TenantExport.objects.create(asked_by=f"{word}@example.com")
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
        BillingSettings.objects.create(legal_name=f"{word} host", country="DE")
        BillingDetails.objects.create(
            customer=story.customer, legal_name=f"{word} limited", country="DE"
        )
        TaxRate.objects.create(
            name=f"{word} tax", country="DE", percent=19, valid_from=at(1, 1).date()
        )
        DunningStep.objects.create(action="remind", number=1, days_after_due=3)
        Suspension.objects.create(customer=story.customer, invoice=Invoice.objects.get())
        pay_something(word)
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
    SignInProvider.objects.create(
        name=f"{word}-login", issuer=f"https://login.{word}.example", client_id=word,
        sealed_secret="-",
    )  # fmt: skip
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


def filled(slug: str, word: str) -> Tenant:
    tenant = make_tenant(slug)
    fill(tenant, word)
    return tenant


@pytest.fixture(scope="module")
def both(keep: Keep[tuple[Tenant, Tenant]]) -> tuple[Tenant, Tenant]:
    return keep(lambda: (filled("full-host", "ours"), filled("far-host", "theirs")))


@pytest.fixture
def ours(both: tuple[Tenant, Tenant], db: None) -> Tenant:
    return both[0]


@pytest.fixture
def theirs(both: tuple[Tenant, Tenant], db: None) -> Tenant:
    return both[1]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
class TestEveryPage:
    def test_lists_and_opens_the_tenants_own(self, model: type[Model], ours: Tenant) -> None:
        client = signed_in(ours)
        assert client.get(url(model, "changelist")).status_code == 200
        assert client.get(url(model, "changelist"), {"q": "ours"}).status_code == 200
        with tenant_scope(ours.pk):
            pk = model._default_manager.values_list("pk", flat=True)[0]
        assert client.get(url(model, "change", pk)).status_code == 200

    def test_says_what_to_do_while_it_is_empty(self, model: type[Model], tenant: Tenant) -> None:
        page = signed_in(tenant).get(url(model, "changelist"))
        hint = admin.site._registry[model].empty_hint  # type: ignore[attr-defined]
        assert page.status_code == 200
        assert hint
        if model not in {Member, Environment}:
            assert escape(hint) in page.content.decode()

    def test_treats_another_tenants_object_as_a_missing_one(
        self, model: type[Model], tenant: Tenant, theirs: Tenant
    ) -> None:
        client = signed_in(tenant)
        with tenant_scope(theirs.pk):
            pk = model._default_manager.values_list("pk", flat=True)[0]
        listed = client.get(url(model, "changelist")).content.decode()
        assert "theirs" not in listed
        missing = uuid4()
        for page in ("change", "delete", "history"):
            answers = [
                client.get(url(model, page, wanted), follow=True) for wanted in (pk, missing)
            ]
            texts = [
                answer.content.decode().replace(str(wanted), "ID")
                for answer, wanted in zip(answers, (pk, missing), strict=True)
            ]
            assert answers[0].status_code == answers[1].status_code
            assert "theirs" not in texts[0]
            assert answers[0].redirect_chain == answers[1].redirect_chain

    def test_is_closed_to_a_customers_people(self, model: type[Model], tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
        client = signed_in(tenant, "viewer", customer=customer)
        answer = client.get(url(model, "changelist"))
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]

    def test_is_closed_to_a_customers_people_even_if_they_are_staff(
        self, model: type[Model], tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
        client = signed_in(tenant, "viewer", customer=customer)
        User.objects.update(is_staff=True)
        assert client.get(url(model, "changelist")).status_code == 403

    def test_shows_the_installations_owner_nothing_of_a_tenant(
        self, model: type[Model], theirs: Tenant
    ) -> None:
        assert signed_in(None).get(url(model, "changelist")).status_code == 403


def test_a_new_tenant_is_in_utc_until_another_zone_is_chosen(tenant: Tenant) -> None:
    page = signed_in(None).get(reverse("admin:tenants_tenant_add")).content.decode()
    assert '<option value="UTC" selected>' in page


class TestTheSidebar:
    def test_leads_the_installations_owner_to_no_refusal(self, tenant: Tenant) -> None:
        page = signed_in(None).get(reverse("admin:index")).content.decode()
        assert f'href="{url(Tenant, "changelist")}"' in page
        for model in MODELS:
            assert f'href="{url(model, "changelist")}"' not in page

    def test_leads_a_viewer_everywhere(self, tenant: Tenant) -> None:
        page = signed_in(tenant, "viewer").get(reverse("admin:index")).content.decode()
        for model in (Host, Invoice, Customer, Member):
            assert f'href="{url(model, "changelist")}"' in page

    def test_calls_each_page_by_its_own_name(self) -> None:
        # The ledger is more than its entries, credentials are of several kinds, and a file is of
        # no model.
        named = {
            str(item["link"]): item["title"].lower()
            for group in UNFOLD["SIDEBAR"]["navigation"]  # type: ignore[index]
            for item in group["items"]
            if item["title"] not in {"Ledger", "Credentials", "Usage as a file"}
        }
        called = {url(model, "changelist"): model for model in admin.site._registry}
        for link, title in named.items():
            assert str(called[link]._meta.verbose_name_plural).lower() == title

    def test_has_a_way_back_on_error_pages(self, tenant: Tenant) -> None:
        client = signed_in(tenant, "viewer")
        for missing in ("/admin/nothing/", url(Member, "add")):
            page = client.get(missing).content.decode()
            assert "To the admin" in page
        assert "To the overview" in client.get("/nothing/").content.decode()


class TestChoices:
    @pytest.mark.usefixtures("theirs")
    def test_are_the_tenants_own(self, ours: Tenant) -> None:
        page = signed_in(ours).get(reverse("admin:billing_subscription_add")).content.decode()
        assert "Ours" in page
        assert "Theirs" not in page

    def test_refuse_another_tenants_object(self, ours: Tenant, theirs: Tenant) -> None:
        with tenant_scope(theirs.pk):
            environment = Environment.objects.get(name="theirs-env")
        client = signed_in(ours)
        answer = client.post(
            reverse("admin:tenants_enrolmenttoken_issue"), {"environment": environment.pk}
        )
        assert b"Select a valid choice" in answer.content
        with tenant_scope(ours.pk):
            assert EnrolmentToken.objects.count() == 1


def may_add(client: Client, model: str) -> bool:
    return client.get(reverse(f"admin:tenants_{model}_add")).status_code == 200


class TestRoles:
    def test_owners_add_members_and_others_do_not(self, tenant: Tenant) -> None:
        assert may_add(signed_in(tenant, "owner"), "member")
        assert not may_add(signed_in(tenant, "operator"), "member")
        assert not may_add(signed_in(tenant, "billing"), "member")

    def test_operators_add_environments_and_billing_customers(self, tenant: Tenant) -> None:
        operator, billing = signed_in(tenant, "operator"), signed_in(tenant, "billing")
        assert may_add(operator, "environment")
        assert not may_add(operator, "customer")
        assert may_add(billing, "customer")
        assert not may_add(billing, "environment")

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_only_billing_finalizes(self, tenant: Tenant, role: str) -> None:
        with tenant_scope(tenant.pk):
            use(begin_story().shop, at(10, 3), cpu_us=1)
            (invoice,) = close_due(as_of=NOVEMBER)
        page = reverse("admin:billing_invoice_finalize_one", args=[invoice.pk])
        assert signed_in(tenant, role).post(page).status_code == 403
        assert signed_in(tenant, "billing").post(page).status_code == 302
        with tenant_scope(tenant.pk):
            assert Invoice.objects.get().number == 1

    @pytest.mark.parametrize("role", Member.Role.values)
    def test_see_which_instances_run_where(self, tenant: Tenant, role: str) -> None:
        with tenant_scope(tenant.pk):
            shop = begin_story().shop
            host = Host.objects.create(name="web-1", environment=shop.environment)
            Instance.objects.create(application=shop, host=host, name="shop@7.service")
        client = signed_in(tenant, role)
        for thing in (host, shop):
            assert b"shop@7.service" in client.get(url(type(thing), "change", thing.pk)).content

    def test_viewers_issue_nothing(self, tenant: Tenant) -> None:
        viewer = signed_in(tenant, "viewer")
        for page in ("enrolmenttoken", "apikey"):
            assert viewer.get(reverse(f"admin:tenants_{page}_issue")).status_code == 403

    def test_only_the_installations_owner_adds_tenants(self, tenant: Tenant) -> None:
        form = {
            "name": "Third Hosting", "slug": "third", "currency": "EUR", "time_zone": "UTC",
            "owner": "owner@third.example",
        }  # fmt: skip
        page = reverse("admin:tenants_tenant_add")
        assert signed_in(tenant).post(page, form).status_code == 403
        answer = signed_in(None).post(page, form, follow=True)
        link = re.search(r"/join/[\w-]+/", answer.content.decode())
        assert link is not None
        client = Client()
        chosen = {"new_password1": "a long new secret", "new_password2": "a long new secret"}
        client.post(link[0], chosen)
        assert b"Third Hosting" in client.get(reverse("admin:tenants_tenant_changelist")).content


@pytest.mark.parametrize(
    "choices",
    [Subscription.Interval, Invoice.Kind, Invoice.Status, CreditMovement.Kind],
    ids=lambda choices: choices.__qualname__,
)
def test_choices_of_one_list_are_written_alike(choices: type[TextChoices]) -> None:
    assert all(label[0].isupper() for label in choices.labels)
