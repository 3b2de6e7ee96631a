"""The demo: there after one run, the same after two, whole after a run that was killed."""

import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.demo import seeding
from billing.models import Invoice, Plan
from billing.operations import finalize_invoice
from metering.models import Host, Sample, SampleBatch
from metering.rollup_models import Rollup
from tenants.models import Customer, Member, Tenant, User
from tenants.scope import installation_scope, tenant_scope

PASSWORD = "a generated one"


def tenants() -> dict[str, UUID]:
    with installation_scope():
        return dict(Tenant.objects.values_list("slug", "pk"))


def figures() -> dict[str, tuple[int, ...]]:
    """How much of everything each tenant has."""
    counted = {}
    for slug, tenant_id in tenants().items():
        with tenant_scope(tenant_id):
            models = (Customer, Plan, Host, SampleBatch, Sample, Rollup, Invoice, Member)
            counted[slug] = tuple(model._default_manager.count() for model in models)
    return counted


@pytest.fixture(autouse=True)
def _fewer_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in less time: 40 days cross a month's end as 60 do."""
    monkeypatch.setattr(seeding, "GENERATED_DAYS", 40)


@pytest.mark.django_db
class TestSeeding:
    def test_twice_adds_nothing(self) -> None:
        as_of = timezone.now()
        seeding.seed_demo(PASSWORD, as_of=as_of)
        before = figures()
        seeding.seed_demo("another password", as_of=as_of + timedelta(hours=1))
        assert figures() == before
        assert set(before) == {"demo", "second"}
        assert User.objects.get(email="owner@demo.example").check_password(PASSWORD)

    def test_completes_a_run_that_was_killed_in_the_second_tenant(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        as_of = timezone.now()
        finalize, calls = finalize_invoice, []

        def dying(*args: Any, **options: Any) -> Invoice:
            calls.append(args)
            with_number = finalize(*args, **options)
            if with_number.currency == "USD":
                raise KeyboardInterrupt
            return with_number

        monkeypatch.setattr(seeding, "finalize_invoice", dying)
        with pytest.raises(KeyboardInterrupt):
            seeding.seed_demo(PASSWORD, as_of=as_of)
        assert calls
        assert figures()["second"] == (0,) * 8
        monkeypatch.undo()
        monkeypatch.setattr(seeding, "GENERATED_DAYS", 40)
        seeding.seed_demo(PASSWORD, as_of=as_of)
        assert all(min(counts) > 0 for counts in figures().values())


@pytest.mark.django_db(databases=["default", "owner"])
class TestTheCommand:
    def test_ends_with_who_can_sign_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOSTMETER_DEMO_PASSWORD", PASSWORD)
        out = io.StringIO()
        call_command("seed_demo", "--json", stdout=out)
        told = json.loads(out.getvalue().splitlines()[-1])
        assert (told["tenant"], told["environment"]) == ("demo", "this-machine")
        assert told["users"][0] == {
            "name": "customer@demo.example",
            "role": "customer",
            "tenant": "demo",
        }
        emails = set(User.objects.values_list("email", flat=True))
        assert {user["name"] for user in told["users"]} == emails

    def test_needs_a_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOSTMETER_DEMO_PASSWORD", "short")
        with pytest.raises(CommandError, match="HOSTMETER_DEMO_PASSWORD"):
            call_command("seed_demo")
