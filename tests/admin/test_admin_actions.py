"""What operators do in the admin."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import PlanVersion, Subscription
from billing.operations import close_due
from metering.host_state import host_status
from metering.models import Application, Assignment, Host, HostKey
from tenants.models import ApiKey, Customer, EnrolmentToken, Environment, Member, Tenant, User
from tenants.scope import tenant_scope
from tenants.secrets import digest_of
from tests.admin.signing_in import signed_in
from tests.billing.timeline import NOVEMBER, application, at, begin_story


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


class TestSecrets:
    def test_a_token_is_shown_once_and_stored_hashed(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
        page = owner.post(
            reverse("admin:tenants_enrolmenttoken_issue"), {"environment": environment.pk}
        )
        token = re.search(r"hme_[0-9a-f]{32}_[\w-]{43}", page.content.decode())
        assert token is not None
        assert "no-store" in page["Cache-Control"]
        with tenant_scope(tenant.pk):
            stored = EnrolmentToken.objects.get()
            assert bytes(stored.digest) == digest_of(token[0])
        listed = owner.get(reverse("admin:tenants_enrolmenttoken_changelist"))
        assert token[0] not in listed.content.decode()

    def test_a_key_is_shown_once_and_can_be_revoked(self, tenant: Tenant, owner: Client) -> None:
        page = owner.post(
            reverse("admin:tenants_apikey_issue"), {"name": "exporter", "scopes": ["usage:read"]}
        )
        assert re.search(r"hmk_[0-9a-f]{32}_[\w-]{43}", page.content.decode())
        with tenant_scope(tenant.pk):
            key = ApiKey.objects.get(name="exporter")
        owner.post(
            reverse("admin:tenants_apikey_changelist"),
            {"action": "revoke", "_selected_action": str(key.pk)},
        )
        with tenant_scope(tenant.pk):
            assert ApiKey.objects.get().revoked_at is not None

    def test_need_an_environment_to_enrol_into(self, tenant: Tenant, owner: Client) -> None:
        issue = reverse("admin:tenants_enrolmenttoken_issue")
        add = reverse("admin:tenants_environment_add")
        assert "Add an environment" not in owner.get(issue).content.decode()
        with tenant_scope(tenant.pk):
            Environment.objects.update(generated=True)
        page = owner.get(issue).content.decode()
        assert f'href="{add}">Add an environment</a>' in page

    def test_promise_no_use_that_does_not_exist(self, tenant: Tenant, owner: Client) -> None:
        policy = owner.get(reverse("admin:tenants_policy_add")).content.decode()
        assert "agents go by their own interval otherwise" in policy


class TestMembers:
    def test_are_invited_by_a_link_that_is_shown_once(self, tenant: Tenant, owner: Client) -> None:
        page = owner.post(
            reverse("admin:tenants_member_add"),
            {"email": "Operator@demo.example", "role": "operator", "customer": ""},
        )
        link = re.search(r"http://testserver(/join/hmi_[\w-]+/)", page.content.decode())
        assert link is not None
        assert "no-store" in page["Cache-Control"]
        assert "operator@demo.example" in Client().get(link[1]).content.decode()
        assert "invited" in owner.get(reverse("admin:tenants_member_changelist")).content.decode()

    def test_an_existing_persons_password_stays(
        self, tenant: Tenant, other_tenant: Tenant, owner: Client
    ) -> None:
        person = User.objects.create_user("both@demo.example", "their own password")
        with tenant_scope(other_tenant.pk):
            Member.objects.create(user=person, role="viewer")
        owner.post(
            reverse("admin:tenants_member_add"),
            {"email": "both@demo.example", "role": "viewer", "customer": ""},
        )
        person.refresh_from_db()
        assert person.check_password("their own password")
        with tenant_scope(tenant.pk):
            assert Member.objects.get(user=person).is_invited

    def test_the_last_owner_stays_one(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            last = Member.objects.get(role="owner")
            page = reverse("admin:tenants_member_change", args=[last.pk])
            answer = owner.post(page, {"role": "viewer", "customer": ""})
            assert "keeps at least one owner" in answer.content.decode()
            gone = owner.post(reverse("admin:tenants_member_delete", args=[last.pk]), {"post": "y"})
            assert gone.status_code == 403
            second = User.objects.create_user("second@demo.example")
            Member.objects.create(user=second, role="owner")
        assert owner.post(page, {"role": "viewer", "customer": ""}).status_code == 302

    def test_who_sees_one_customer_operates_nothing(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
        page = owner.post(
            reverse("admin:tenants_member_add"),
            {"email": "x@demo.example", "role": "operator", "customer": str(customer.pk)},
        )
        assert b"Operators run hosts; a customer" in page.content


def test_two_customers_cannot_share_a_reference(tenant: Tenant, owner: Client) -> None:
    form = {"name": "Shop", "reference": "shop", "time_zone": "Europe/Berlin"}
    assert owner.post(reverse("admin:tenants_customer_add"), form).status_code == 302
    page = owner.post(reverse("admin:tenants_customer_add"), form)
    assert b"already exists" in page.content


class TestAssigning:
    def test_several_applications_from_the_start(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            chosen = [application("shop"), application("mail")]
            customer = Customer.objects.create(name="Shop", reference="shop")
        form = {"action": "assign", "_selected_action": [str(each.pk) for each in chosen]}
        page = reverse("admin:metering_application_changelist")
        asked = owner.post(page, form).content.decode()
        assert "mail" in asked
        assert "Assign to a customer" in asked
        owner.post(page, form | {"confirmed": "1", "customer": customer.pk, "from_": "start"})
        with tenant_scope(tenant.pk):
            assert Assignment.objects.filter(customer=customer, starts_at=at(10, 1)).count() == 2

    def test_one_from_today_in_the_tenants_zone(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            Tenant.objects.update(time_zone="Asia/Kolkata")
            shop = application("shop")
            customer = Customer.objects.create(name="Shop", reference="shop")
        page = reverse("admin:metering_application_assign_one", args=[shop.pk])
        assert owner.post(page, {"customer": customer.pk, "from_": "today"}).status_code == 302
        with tenant_scope(tenant.pk):
            starts_at = Assignment.objects.get().starts_at
        # Half past: India is 5:30 ahead of UTC.
        assert (starts_at.hour, starts_at.minute) == (18, 30)

    def test_names_who_pays_now_and_words_a_refusal_in_the_tenants_zone(
        self, tenant: Tenant, owner: Client
    ) -> None:
        with tenant_scope(tenant.pk):
            Tenant.objects.update(time_zone="Asia/Kolkata")
            story = begin_story()
            other = Customer.objects.create(name="Other", reference="other")
        page = reverse("admin:metering_application_assign_one", args=[story.shop.pk])
        assert "shop-ltd-shop: billed to Shop-Ltd now" in owner.get(page).content.decode()
        form = {"customer": other.pk, "from_": "start"}
        answer = owner.post(page, form, follow=True).content.decode()
        # The story begins on 1 October at 00:00 UTC; India is 5:30 ahead.
        assert "from 2026-10-01 05:30 IST" in answer

    def test_ends_after_a_question(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            alone = application("alone")
        chosen = [str(story.shop.pk), str(story.mail.pk), str(alone.pk)]
        form = {"action": "stop_billing", "_selected_action": chosen}
        page = reverse("admin:metering_application_changelist")
        asked = owner.post(page, form).content.decode()
        assert "shop-ltd-mail: billed to Shop-Ltd now" in asked
        assert "alone: billed to nobody now" in asked
        with tenant_scope(tenant.pk):
            assert not Assignment.objects.filter(ends_at__isnull=False).exists()
        done = owner.post(page, form | {"confirmed": "1"}, follow=True).content.decode()
        assert "Billing stopped: 2, billed to nobody already: 1." in done
        with tenant_scope(tenant.pk):
            assert not Assignment.objects.filter(ends_at__isnull=True).exists()

    def test_of_one_ends_from_its_own_page(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            shop = begin_story().shop
        page = reverse("admin:metering_application_stop_billing_one", args=[shop.pk])
        change = reverse("admin:metering_application_change", args=[shop.pk])
        assert page in owner.get(change).content.decode()
        assert "Stop billing?" in owner.get(page).content.decode()
        assert "Billing stopped: 1" in owner.post(page, follow=True).content.decode()

    def test_the_unassigned_are_found_by_a_filter(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            begin_story()
            application("alone")
        page = reverse("admin:metering_application_changelist")
        listed = owner.get(page, {"assigned": "no"}).content.decode()
        assert "alone" in listed
        assert "shop-ltd-mail" not in listed


class TestHosts:
    def test_are_silent_after_their_policys_time(self, tenant: Tenant) -> None:
        now = timezone.now()
        with tenant_scope(tenant.pk):
            host = Host.objects.create(name="web-1", environment=Environment.objects.get())
            assert host_status(host, now) == "no key"
            HostKey.objects.create(host=host, key_id="k", public_key=b"k" * 32)
            assert host_status(host, now) == "waiting"
            host.last_seen_at = now
            assert host_status(host, now + timedelta(seconds=119)) == "live"
            assert host_status(host, now + timedelta(seconds=121)) == "silent"

    def test_keep_their_keys_until_it_is_confirmed(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            host = Host.objects.create(name="web-1", environment=Environment.objects.get())
            HostKey.objects.create(host=host, key_id="k", public_key=b"k" * 32)
        page = reverse("admin:metering_host_changelist")
        form = {"action": "revoke_keys", "_selected_action": str(host.pk)}
        assert "web-1: waiting" in owner.post(page, form).content.decode()
        with tenant_scope(tenant.pk):
            assert HostKey.objects.get().revoked_at is None
        owner.post(page, form | {"confirmed": "1"})
        with tenant_scope(tenant.pk):
            assert HostKey.objects.get().revoked_at is not None

    def test_show_their_times_in_the_tenants_zone(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            Tenant.objects.update(time_zone="Asia/Kolkata")
            host = Host.objects.create(
                name="web-1", environment=Environment.objects.get(), last_window_end=at(10, 1, 1)
            )
        page = owner.get(reverse("admin:metering_host_change", args=[host.pk])).content.decode()
        assert "2026-10-01 06:30" in page
        assert "+00:00" not in page

    def test_of_the_demo_are_marked_on_their_own_page(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
            real = Host.objects.create(name="web-1", environment=environment)
            made = Host.objects.create(name="demo", environment=environment, generated=True)
            shop = Application.objects.create(
                name="shop", environment=environment, generated=True, first_seen_at=at(10, 1)
            )
            customer = Customer.objects.create(name="Demo", reference="demo", generated=True)
        mark = "Made by the demo; nothing real stands behind it."
        for marked in (made, shop, customer):
            name = f"{marked._meta.app_label}_{marked._meta.model_name}"
            page = owner.get(reverse(f"admin:{name}_change", args=[marked.pk]))
            assert mark in page.content.decode()
        page = owner.get(reverse("admin:metering_host_change", args=[real.pk]))
        assert mark not in page.content.decode()

    def test_are_called_by_their_own_name(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            host = Host.objects.create(name="vm", environment=Environment.objects.get())
        page = owner.get(reverse("admin:metering_host_change", args=[host.pk])).content.decode()
        assert not re.search(r">\s*Vm\s*<", page)
        assert re.search(r">\s*vm\s*</a>", page)


class TestPlans:
    def test_a_new_version_starts_with_the_old_prices(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            plan = begin_story().plan
        answer = owner.post(
            reverse("admin:billing_plan_new_version", args=[plan.pk]),
            {"effective_from_0": "2027-01-01", "effective_from_1": "00:00"},
        )
        with tenant_scope(tenant.pk):
            version = PlanVersion.objects.get(number=2)
            assert version.prices.count() == 2
        assert str(version.pk) in answer["Location"]

    def test_a_used_version_is_for_reading(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            begin_story()
            version = PlanVersion.objects.get()
            page = reverse("admin:billing_planversion_change", args=[version.pk])
        assert b'name="_save"' in owner.get(page).content
        with tenant_scope(tenant.pk):
            close_due(as_of=NOVEMBER)
        assert b'name="_save"' not in owner.get(page).content


class TestSubscriptions:
    def test_of_one_customer_never_overlap(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
        form = {
            "customer": str(story.customer.pk), "plan": str(story.plan.pk), "cycle": "calendar",
            "interval": "monthly", "proration": "elapsed", "commitment_interval": "yearly",
            "starts_at_0": "2026-12-01", "starts_at_1": "00:03", "ends_at_0": "", "ends_at_1": "",
        }  # fmt: skip
        page = reverse("admin:billing_subscription_add")
        assert b"has another subscription" in owner.post(page, form).content
        with tenant_scope(tenant.pk):
            Subscription.objects.update(ends_at=at(12, 1))
        assert owner.post(page, form).status_code == 302
        with tenant_scope(tenant.pk):
            # On the 5-minute bucket, so that each bucket lies in one billing period.
            assert Subscription.objects.order_by("starts_at").last() == Subscription.objects.get(
                starts_at=at(12, 1)
            )
            assert Application.objects.count() == 2
