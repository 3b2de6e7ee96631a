"""A tenant's staff see their tenant, and what their role lets them."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db.models import Model, TextChoices
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from billing.models import (
    CreditMovement,
    Invoice,
    Subscription,
)
from billing.operations import close_due
from config.admin_site import UNFOLD
from metering.models import Host, Instance
from tenants.models import Customer, EnrolmentToken, Environment, Member, Tenant, User
from tenants.scope import tenant_scope
from tests.admin.filling import filled
from tests.admin.signing_in import signed_in
from tests.billing.timeline import NOVEMBER, at, begin_story, use
from tests.conftest import Keep

MODELS = [model for model in admin.site._registry if model is not Tenant]


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


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
            if item["title"] not in {"Ledger", "Credentials", "Usage as a file", "First steps"}
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
