"""What a policy's version finds in usage: the set-based answer is the pure one."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from metering.core.buckets import bucket_of
from metering.core.limit_use import MEASURES, OF_THE_WHOLE, BucketUse, uses
from metering.limit_use import LimitUse, Simulation, TooMuchUsage, simulate
from metering.models import Application, Host, Instance
from metering.operations import assign_application
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment, Policy, Tenant
from tenants.policies import change_draft, draft_of
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope

START = bucket_of(timezone.now()) - timedelta(days=2)
LIMITS = {
    "cpu_millicores": 500, "memory_bytes": 4_000, "processes_max": 6, "open_files_max": 50,
    "users_max": 9,
}  # fmt: skip


def version_with(**terms: Any) -> PolicyVersion:
    policy, _ = Policy.objects.get_or_create(name="calm")
    Environment.objects.update(policy=policy)
    return change_draft(draft_of(policy), terms)


def running_on(application: Application, host: Host, name: str = "a") -> Instance:
    return Instance.objects.create(application=application, host=host, name=name)


def used(instance: Instance, at: datetime = START, **usage: int | None) -> BucketUse:
    Rollup.objects.create(
        tenant=instance.tenant, application=instance.application, instance=instance,
        bucket_start=at, role="primary",
        samples=1, window_us=300_000_000, covered_us=300_000_000, **usage,
    )  # fmt: skip
    return BucketUse(
        (instance.application.name, instance.host.name if instance.host else ""), at,
        {
            name: quantity
            for name, column in _COLUMNS.items()
            if (quantity := usage.get(column)) is not None
        },
    )  # fmt: skip


_COLUMNS = {
    name: name.replace(".", "_")
    for meter in MEASURES.values()
    for name in ([meter] if meter == "cpu.time" else [meter, f"{meter}.max"])
}


def simulated(version: PolicyVersion) -> Simulation:
    return simulate(version, START, START + timedelta(days=1), as_of=timezone.now())


def made(name: str, environment: Environment | None = None) -> Application:
    environment = environment or Environment.objects.get(name="production")
    return Application.objects.create(name=name, environment=environment)


def host(name: str) -> Host:
    return Host.objects.create(name=name, environment=Environment.objects.get(name="production"))


class TestUses:
    @pytest.mark.parametrize("seed", range(5))
    def test_equal_the_pure_function(self, inside: UUID, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - the same each time
        version = version_with(**LIMITS)
        shop, blog, web_1, web_2 = made("shop"), made("blog"), host("web-1"), host("web-2")
        instances = [
            running_on(application, where, name)
            for application in (shop, blog)
            for where in (web_1, web_2)
            for name in ("a", "b")
        ]
        rows = [
            used(
                instance, START + timedelta(minutes=5) * bucket,
                **{
                    column: dice.choice([None, dice.randrange(400_000_000 if column == "cpu_time"
                                                              else 3_000_000)])
                    if not column.endswith("max")
                    else dice.choice([None, dice.randrange(5_000)])
                    for column in _COLUMNS.values()
                },
            )
            for bucket in range(4)
            for instance in instances
        ]  # fmt: skip
        found = {
            (each.term, (each.application, each.host)): each.use for each in simulated(version).uses
        }
        expected: dict[Any, Any] = {}
        for term, limit in LIMITS.items():
            chosen = rows
            if term in OF_THE_WHOLE:
                # What is not known of a host's bucket adds nothing to the whole.
                chosen = [
                    BucketUse((row.place[0], ""), row.bucket, row.usage)  # type: ignore[index]
                    for row in rows
                    if any(
                        other.place == row.place
                        and other.bucket == row.bucket
                        and MEASURES[term] in other.usage
                        for other in rows
                    )
                ]
            for place, use in uses(chosen, term, limit).items():
                expected[term, place] = use
        assert found == expected

    def test_tell_how_long_and_how_far_it_was_over(self, inside: UUID) -> None:
        version = version_with(cpu_millicores=500)
        instance = running_on(made("shop"), host("web-1"))
        for number, cpu_us in enumerate((300_000_000, 30_000_000, 240_000_000)):
            used(instance, START + timedelta(minutes=5) * number, cpu_time=cpu_us)
        (over,) = simulated(version).over
        assert (over.application, over.host, over.term) == ("shop", "web-1", "cpu_millicores")
        assert (over.use.peak, over.use.mean, over.peak_permille) == (1_000, 633, 2_000)
        assert over.time_over == timedelta(minutes=10)

    def test_are_nothing_over_without_a_limit(self, inside: UUID) -> None:
        used(running_on(made("shop"), host("web-1")), cpu_time=10**12)
        found = simulated(version_with())
        assert [each.limit for each in found.uses] == [None]
        assert found.over == ()

    def test_stay_inside_the_tenant_and_the_policys_environments(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                used(running_on(made("shop"), host("web-1")), cpu_time=1)
        with tenant_scope(tenant.pk):
            version = version_with()
            staging = Environment.objects.create(name="staging")
            used(running_on(made("other", staging), host("web-2")), cpu_time=1)
            assert [each.application for each in simulated(version).uses] == ["shop"]


class TestRules:
    def test_name_what_ran_against_them(self, inside: UUID) -> None:
        version = version_with(rules=[
            {"effect": "allow", "application": "shop", "customer": "acme"},
            {"effect": "deny", "application": "shop"},
        ])  # fmt: skip
        web = host("web-1")
        shop, blog, idle = made("shop"), made("blog"), made("shop-idle")
        for application in (shop, blog):
            used(running_on(application, web), cpu_time=1)
        assert idle.name not in {each.application for each in simulated(version).denied}
        (denied,) = simulated(version).denied
        assert (denied.application, denied.environment, denied.by) == (
            "shop", "production", "a rule",
        )  # fmt: skip
        acme = Customer.objects.create(name="Acme", reference="acme")
        assert assign_application(shop, acme, "now", as_of=timezone.now()).customer == acme
        assert simulated(version).denied == ()
        Environment.objects.update(application_patterns=["sh*"])
        (denied,) = simulated(version).denied
        assert (denied.application, denied.by) == ("blog", "its environment")

    def test_name_environments_that_hold_more_than_they_may(self, inside: UUID) -> None:
        version = version_with()
        made("shop"), made("blog"), host("web-1"), host("web-2")
        Environment.objects.update(applications_max=1, hosts_max=1)
        assert simulated(version).crowded == (
            "production has 2 applications of at most 1", "production has 2 hosts of at most 1",
        )  # fmt: skip


class TestTooMuch:
    def test_is_said_and_leaves_the_page_its_transaction(
        self, inside: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = "SELECT pg_sleep(5) WHERE %(cpu_millicores)s IS NULL"
        monkeypatch.setattr("metering.limit_use.statement", lambda name: slow)
        monkeypatch.setattr("metering.limit_use._SECONDS_MAX", 0.05)
        with pytest.raises(TooMuchUsage, match="fewer days"):
            simulated(version_with())
        assert Environment.objects.exists()

    def test_is_a_span_beyond_a_month(self, inside: UUID) -> None:
        with pytest.raises(ValueError, match="31 days"):
            simulate(version_with(), START, START + timedelta(days=32), as_of=timezone.now())


def test_a_peak_without_a_limit_is_no_share_of_one(inside: UUID) -> None:
    used(running_on(made("shop"), host("web-1")), cpu_time=300_000)
    (use,) = simulated(version_with()).uses
    assert isinstance(use, LimitUse)
    assert use.peak_permille is None
