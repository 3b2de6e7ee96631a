"""A bundle that is written years later says what the one of the first day said."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from billing.models import BillingSettings, Invoice, Plan, Price
from billing.operations import Offer, publish_plan_version, restate_invoice
from billing.operations.plans import Counting
from metering.models import Application, Host, HostKey, Instance
from metering.retiring import retire_hosts
from metering.rollups import roll_up
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import Proven, every_kind, prove, said_of
from tests.billing.test_proven_primaries import failing_over
from tests.metering.test_host_keys import rotate

pytestmark = pytest.mark.django_db


def by_attributes() -> list[Price]:
    """A price that depends on each of the attributes that have names of the provider's own."""
    cpu = {"meter": "cpu.time", "aggregation": "sum", "unit": "CPU-second"}
    values = {"environment": "production", "region": "eu-1", "host_class": "large"}
    matrices = [
        Price(
            label=f"By {name}", code=name, kind="matrix",
            definition={
                "by": [name],
                "rows": [
                    {"values": [value], "unit_price": "0.01"},
                    {"values": ["*"], "unit_price": "0.5"},
                ],
            },
            **cpu,
        )
        for name, value in values.items()
    ]  # fmt: skip
    of_environments = Price(
        label="Environments", code="environments", meter="cpu.time", aggregation="unique",
        unit="one", distinct="environment", unit_price=Decimal(1),
    )  # fmt: skip
    return [*every_kind(), *matrices, of_environments]


def named(tenant: Tenant) -> Proven:
    def name_hosts(_: object) -> None:
        Host.objects.update(region="eu-1", host_class="large")

    counting = Counting(primaries="one", gaps="credited")
    return prove(tenant, prices=by_attributes, before_closing=name_hosts, counting=counting)


def rename_everything(proven: Proven) -> None:
    with tenant_scope(proven.tenant.pk):
        moved = Environment.objects.create(name="moved")
        Environment.objects.exclude(pk=moved.pk).update(name="renamed")
        for number, row in enumerate(Application.objects.all()):
            Application.objects.filter(pk=row.pk).update(name=f"renamed-{number}")
        Application.objects.filter(name="renamed-0").update(environment=moved)
        Host.objects.update(name="renamed", region="us-9", host_class="small", environment=moved)
        Customer.objects.update(name="Renamed", reference="renamed", time_zone="Asia/Tokyo")
        Plan.objects.update(name="Renamed")
        BillingSettings.objects.create(legal_name="Renamed", country="FR")


def assign_a_new_plan(proven: Proven) -> None:
    with tenant_scope(proven.tenant.pk):
        now = timezone.now()
        offer = Offer(every_kind()[:1], now + timedelta(days=40), Counting(gaps="held"))
        publish_plan_version(Plan.objects.get(), offer)
        subscription = Invoice.objects.get(pk=proven.invoice.pk).subscription
        subscription.ends_at = now + timedelta(days=1)
        subscription.save()


def replace_the_hosts_key(proven: Proven) -> None:
    rotate(proven.agent)
    with tenant_scope(proven.tenant.pk):
        HostKey.objects.update(expires_at=timezone.now() + timedelta(days=1))
        retire_hosts([Host.objects.get().pk], as_of=timezone.now())


def run_elsewhere(proven: Proven) -> None:
    """The applications have other instances now, on another host."""
    with tenant_scope(proven.tenant.pk):
        environment = Environment.objects.first()
        assert environment is not None
        host = Host.objects.create(name="web-9", environment=environment, region="ap-2")
        for app in Application.objects.all():
            Instance.objects.create(application=app, host=host, name="new")


class TestABundleOfLater:
    @pytest.mark.parametrize(
        "change",
        [rename_everything, assign_a_new_plan, replace_the_hosts_key, run_elsewhere],
    )
    def test_is_the_one_of_the_first_day(
        self, tenant: Tenant, tmp_path: Path, change: Callable[[Proven], None]
    ) -> None:
        proven = named(tenant)
        before = proven.bundle()
        code, said = said_of(before, tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said
        assert {line.split("  ")[0] for line in said} >= {"By environment", "By region"}
        change(proven)
        after = proven.bundle()
        assert said_of(after, tmp_path) == (0, said)
        assert after == before

    def test_of_a_note_is_the_one_of_its_day(self, tenant: Tenant, tmp_path: Path) -> None:
        proven = named(tenant)
        proven.deliver_more(proven.first + timedelta(minutes=2))
        with tenant_scope(tenant.pk):
            note = restate_invoice(Invoice.objects.get(pk=proven.invoice.pk), as_of=timezone.now())
        assert note is not None
        before = proven.bundle_of(note)
        for change in (rename_everything, replace_the_hosts_key, run_elsewhere):
            change(proven)
        assert proven.bundle_of(note) == before
        assert said_of(before, tmp_path)[0] == 0

    def test_is_the_same_when_a_second_host_was_primary_too(self, tenant: Tenant) -> None:
        """It says so later, of hours in which there was one."""
        proven = named(tenant)
        before = proven.bundle()
        deliver_too = failing_over(tenant)
        with tenant_scope(tenant.pk):
            deliver_too(proven.first)
        roll_up(tenant.pk)
        assert proven.bundle() == before
