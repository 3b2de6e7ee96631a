"""Staff correct usage with a reason; what was made stays as it is."""

import pytest
from django.test import Client
from django.urls import reverse

from metering.models import Application, DirtyBucket
from metering.stated_models import Correction
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import application

ADD = reverse("admin:metering_correction_add")


@pytest.fixture
def shop(tenant: Tenant) -> Application:
    with tenant_scope(tenant.pk):
        return application("shop")


def told(app: Application, **changes: str) -> dict[str, str]:
    return {
        "application": str(app.pk),
        "starts_at_0": "2026-10-03",
        "starts_at_1": "14:00",
        "ends_at_0": "2026-10-03",
        "ends_at_1": "14:10",
        "kind": "delete",
        "role": "primary",
        "reason": "the meter was broken",
    } | changes


def corrections(tenant: Tenant) -> list[Correction]:
    with tenant_scope(tenant.pk):
        return list(Correction.objects.order_by("created_at"))


class TestMaking:
    def test_a_deletion_names_who_made_it(self, tenant: Tenant, shop: Application) -> None:
        client = signed_in(tenant)
        assert client.get(ADD).status_code == 200
        answer = client.post(ADD, told(shop, meters="cpu.time, launches"), follow=True)
        assert "the meter was broken" in answer.content.decode()
        (made,) = corrections(tenant)
        assert (made.meters, made.author) == (["cpu.time", "launches"], "owner0@demo.example")
        with tenant_scope(tenant.pk):
            assert DirtyBucket.objects.count() == 2

    def test_a_replacement_states_quantities(self, tenant: Tenant, shop: Application) -> None:
        form = told(shop, kind="replace", quantities='{"cpu.time": 5}', role="standby")
        signed_in(tenant).post(ADD, form)
        (made,) = corrections(tenant)
        assert (made.quantities, made.role) == ({"cpu.time": 5}, "standby")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"starts_at_1": "14:01"}, "bounds of 5 minutes"),
            ({"kind": "replace"}, "which quantities"),
            ({"kind": "replace", "quantities": '{"cpu.time": 0.5}'}, "whole number"),
            ({"meters": "CPU time"}, "no meter is called"),
            ({"reason": ""}, "required"),
        ],
    )
    def test_says_what_is_wrong(
        self, tenant: Tenant, shop: Application, changes: dict[str, str], words: str
    ) -> None:
        page = signed_in(tenant).post(ADD, told(shop, **changes)).content.decode()
        assert words.lower() in page.lower()
        assert corrections(tenant) == []

    def test_takes_nothing_of_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant, shop: Application
    ) -> None:
        page = signed_in(other_tenant).post(ADD, told(shop)).content.decode()
        assert "Select a valid choice" in page
        assert corrections(tenant) == corrections(other_tenant) == []


class TestOneThatWasMade:
    @pytest.fixture
    def client(self, tenant: Tenant, shop: Application) -> Client:
        client = signed_in(tenant)
        client.post(ADD, told(shop))
        return client

    def test_cannot_be_changed_or_deleted(self, tenant: Tenant, client: Client) -> None:
        (made,) = corrections(tenant)
        page = reverse("admin:metering_correction_change", args=[made.pk])
        assert "all meters" in client.get(page).content.decode()
        assert client.post(page, {"reason": "none"}).status_code == 403
        delete = reverse("admin:metering_correction_delete", args=[made.pk])
        assert client.post(delete, {"post": "yes"}).status_code == 403
        assert corrections(tenant) == [made]

    @pytest.mark.parametrize(("role", "status"), [("billing", 200), ("viewer", 403)])
    def test_is_made_by_those_who_may(self, tenant: Tenant, role: str, status: int) -> None:
        assert signed_in(tenant, role).get(ADD).status_code == status
