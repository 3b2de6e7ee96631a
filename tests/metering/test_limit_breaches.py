"""What is over a policy's limits is kept with who, when and by how much, and told once."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from metering.breach_models import BreachDay, PolicyBreach
from metering.core.limit_use import MEASURES
from metering.limit_breaches import days_to_watch, watch_limits
from metering.limit_use import simulate
from metering.models import Application, Host
from metering.rollup_models import Rollup
from metering.tasks import watch_limits_all
from tenants.models import Customer, Environment, Policy, Tenant
from tenants.policies import change_draft, draft_of, publish
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEvent
from tests.billing.timeline import assign
from tests.metering.test_limit_use import LIMITS, host, made, running_on, used

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = NOON.date()
BUCKET = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)


def in_force(since: datetime = NOON - timedelta(days=3), **terms: Any) -> PolicyVersion:
    policy, _ = Policy.objects.get_or_create(name="calm")
    Environment.objects.update(policy=policy)
    draft = change_draft(draft_of(policy), terms)
    return publish(draft, effective_from=since, by="a", as_of=since)


def busy(application: Application, where: Host, at: datetime, cores: int = 1) -> None:
    used(running_on(application, where, f"{at}"), at, cpu_time=cores * 300_000_000)


def told() -> list[tuple[str, str]]:
    rows = WebhookEvent.objects.order_by("occurred_at")
    return [(each.type, each.data["term"]) for each in rows]


class TestWhatIsOverALimit:
    def test_is_kept_with_who_when_and_by_how_much(self, inside: UUID) -> None:
        version = in_force(cpu_millicores=500)
        shop, acme = made("shop"), Customer.objects.create(name="Acme", reference="acme")
        assign(shop, acme)
        for number, cores in ((3, 1), (4, 2), (5, 0)):
            busy(shop, host_named("web-1"), NOON - BUCKET * number, cores)
        assert watch_limits(DAY, as_of=NOON) == 1
        breach = PolicyBreach.objects.get()
        assert (breach.application, breach.customer, breach.version) == (shop, acme, version)
        assert breach.host == Host.objects.get()
        assert (breach.term, breach.limit, breach.measured) == (
            "cpu_millicores",
            Decimal(500),
            Decimal(2_000),
        )
        assert breach.first_over_at == NOON - BUCKET * 4
        assert breach.last_over_at == NOON - BUCKET * 2
        assert (breach.buckets_over, breach.standing) == (2, True)

    def test_is_told_once_when_it_begins_and_when_it_is_over(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        shop, web = made("shop"), host("web-1")
        busy(shop, web, NOON - BUCKET)
        for minutes in (0, 10, 20, 40, 50):
            watch_limits(DAY, as_of=NOON + minutes * MINUTE)
        raised, cleared = ("fault.raised", "cpu_millicores"), ("fault.cleared", "cpu_millicores")
        assert told() == [raised, cleared]
        data = WebhookEvent.objects.earliest("occurred_at").data
        assert (data["kind"], data["application"], data["host"]) == ("limit", "shop", "web-1")
        assert (data["measured"], data["limit"], data["currency"]) == ("1000", "500", None)
        busy(shop, web, NOON + 60 * MINUTE)
        watch_limits(DAY, as_of=NOON + 65 * MINUTE)
        assert told() == [raised, cleared, raised]
        assert PolicyBreach.objects.count() == 1

    def test_follows_what_comes_late_and_what_a_correction_takes_back(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        shop, web = made("shop"), host("web-1")
        watch_limits(DAY, as_of=NOON)
        busy(shop, web, NOON - timedelta(hours=9))
        watch_limits(DAY, as_of=NOON)
        late = PolicyBreach.objects.get()
        assert (late.standing, told()) == (False, [])
        Rollup.objects.update(cpu_time=1)
        assert watch_limits(DAY, as_of=NOON) == 0
        assert not PolicyBreach.objects.exists()

    def test_is_judged_by_the_version_that_each_host_goes_by(self, inside: UUID) -> None:
        old = in_force(cpu_millicores=500)
        new = in_force(cpu_millicores=5_000, since=NOON - timedelta(hours=1))
        PolicyVersion.objects.filter(pk=new.pk).update(rollout_percent=50)
        shop = made("shop")
        hosts = [host(f"web-{number}") for number in range(12)]
        for each in hosts:
            busy(shop, each, NOON - BUCKET)
        watch_limits(DAY, as_of=NOON)
        over = set(PolicyBreach.objects.values_list("host", flat=True))
        assert 0 < len(over) < 12
        assert set(PolicyBreach.objects.values_list("version", flat=True)) == {old.pk}

    def test_is_what_the_page_of_a_version_finds(self, inside: UUID) -> None:
        version = in_force(NOON - timedelta(days=3), **LIMITS)
        for number, name in enumerate(("shop", "blog")):
            for where in (host_named("web-1"), host_named("web-2")):
                used(
                    running_on(made_once(name), where), NOON - BUCKET * (number + 1),
                    cpu_time=400_000_000 * number, memory_used=3_000_000, memory_used_max=5_000,
                    processes=3_000 * (number + 1), files_open=60 * 300, users_concurrent=5 * 300,
                    users_concurrent_max=5,
                )  # fmt: skip
        watch_limits(DAY, as_of=NOON)
        start = NOON.replace(hour=0)
        expected = {
            (use.term, use.application, use.host, Decimal(use.use.peak), use.use.over)
            for use in simulate(version, start, NOON, as_of=NOON).over
        }
        rows = PolicyBreach.objects.select_related("application", "host")
        assert {
            (each.term, each.application.name, each.host.name if each.host else "",
             each.measured or Decimal(0), each.buckets_over)
            for each in rows if each.application
        } == expected  # fmt: skip
        assert {each[0] for each in expected} == set(MEASURES)

    def test_is_also_what_a_rule_denies(self, inside: UUID) -> None:
        in_force(rules=[{"effect": "deny", "application": "miner*"}])
        for name in ("miner-7", "shop"):
            busy(made(name), host_named("web-1"), NOON - BUCKET)
        watch_limits(DAY, as_of=NOON)
        breach = PolicyBreach.objects.get()
        assert (breach.term, str(breach.application)) == ("rules", "miner-7")
        assert (breach.limit, breach.measured, breach.host) == (None, None, None)


MIDNIGHT = NOON.replace(hour=0)
YESTERDAY = DAY - timedelta(days=1)


def over_midnight(*buckets: int, name: str = "shop") -> None:
    """A core in these buckets, counted from midnight."""
    for number in buckets:
        busy(made_once(name), host_named("web-1"), MIDNIGHT + number * BUCKET)


def looked_at(as_of: datetime, *days: date) -> list[tuple[Any, ...]]:
    for day in days or days_to_watch(as_of):
        watch_limits(day, as_of=as_of)
    return kept()


def kept() -> list[tuple[Any, ...]]:
    rows = PolicyBreach.objects.order_by("first_over_at")
    return [
        ((each.first_over_at - MIDNIGHT) // BUCKET, (each.last_over_at - MIDNIGHT) // BUCKET,
         each.buckets_over, int(each.measured or 0), each.standing, each.pk) for each in rows
    ]  # fmt: skip


class TestABreachThatPassesMidnight:
    def test_is_one_and_told_once(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        over_midnight(-3, -2)
        ((*_, breach_id),) = looked_at(MIDNIGHT - BUCKET)
        over_midnight(-1, 0, 1)
        busy(made_once("shop"), host_named("web-1"), MIDNIGHT + 3 * BUCKET, cores=2)
        for minutes in (1, 6, 11, 21):
            assert len(looked_at(MIDNIGHT + minutes * MINUTE)) == 1
        assert kept() == [(-3, 4, 6, 2_000, True, breach_id)]
        assert PolicyBreach.objects.get().day == YESTERDAY
        assert told() == [("fault.raised", "cpu_millicores")]
        # It is over for whoever looks at the day after, though it began on the day before.
        looked_at(MIDNIGHT + 51 * MINUTE)
        assert kept() == [(-3, 4, 6, 2_000, False, breach_id)]
        assert told() == [("fault.raised", "cpu_millicores"), ("fault.cleared", "cpu_millicores")]
        data = WebhookEvent.objects.get(type="fault.cleared").data
        assert data["breach_id"] == str(breach_id)
        assert data["since"] == "2026-11-19T23:45:00Z"
        assert data["measured"] == "2000"

    def test_is_over_when_the_new_day_has_nothing_over(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        over_midnight(-2, -1)
        looked_at(MIDNIGHT - BUCKET)
        looked_at(MIDNIGHT + 25 * MINUTE)
        assert [each[4] for each in kept()] == [True]
        looked_at(MIDNIGHT + 35 * MINUTE)
        assert [each[0] for each in told()] == ["fault.raised", "fault.cleared"]

    def test_is_the_same_in_whatever_order_its_days_are_looked_at(self, inside: UUID) -> None:
        in_force(cpu_millicores=500, since=NOON - timedelta(days=9))
        a_day = 288
        over_midnight(-a_day - 1, -a_day, -1, 0, a_day - 1, a_day, 2 * a_day - 20)
        over_midnight(-1, 8, name="blog")
        days = [DAY + timedelta(days=each) for each in range(-2, 2)]
        later = NOON + timedelta(days=3)
        first = looked_at(later, *days)
        assert [each[:3] for each in first] == [
            (-a_day - 1, 2 * a_day - 19, 7), (-1, 0, 1), (8, 9, 1),
        ]  # fmt: skip
        # Looking again changes nothing, not even which breach is which.
        assert looked_at(later, *reversed(days), *days) == first
        stored = set(BreachDay.objects.values_list("pk", flat=True))
        looked_at(later, *days)
        assert stored == set(BreachDay.objects.values_list("pk", flat=True))
        for seed in range(4):
            PolicyBreach.objects.all().delete()
            random.Random(seed).shuffle(days)  # noqa: S311 - the same each time
            assert [each[:5] for each in looked_at(later, *days)] == [each[:5] for each in first]

    def test_is_joined_by_what_comes_late_and_cut_by_a_correction(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        over_midnight(-9, 5)
        as_of = MIDNIGHT + 6 * BUCKET
        looked_at(as_of, YESTERDAY, DAY)
        older, newer = kept()
        assert [older[4], newer[4]] == [False, True]
        over_midnight(-1)
        # The one that was told to go on goes on.
        assert looked_at(as_of, YESTERDAY) == [(-9, 6, 3, 1_000, True, newer[5])]
        Rollup.objects.filter(bucket_start=MIDNIGHT - BUCKET).update(cpu_time=1)
        cut = looked_at(as_of, YESTERDAY)
        assert [each[:5] for each in cut] == [(-9, -8, 1, 1_000, False), (5, 6, 1, 1_000, True)]
        assert cut[1][5] == newer[5]
        assert [each[0] for each in told()] == ["fault.raised"]
        Rollup.objects.update(cpu_time=1)
        assert looked_at(as_of, YESTERDAY, DAY) == []
        assert not BreachDay.objects.exists()
        assert [each[0] for each in told()] == ["fault.raised", "fault.cleared"]

    def test_ends_with_its_version(self, inside: UUID) -> None:
        in_force(cpu_millicores=500)
        add_endpoint("https://example.com/", as_of=NOON)
        over_midnight(-1, 0, 1)
        looked_at(MIDNIGHT + 2 * BUCKET)
        in_force(cpu_millicores=700, since=MIDNIGHT + 2 * BUCKET)
        over_midnight(2)
        looked_at(MIDNIGHT + 3 * BUCKET, YESTERDAY, DAY, YESTERDAY)
        assert [each[:5] for each in kept()] == [(-1, 2, 3, 1_000, False), (2, 3, 1, 1_000, True)]
        assert sorted(each[0] for each in told()) == [
            "fault.cleared", "fault.raised", "fault.raised",
        ]  # fmt: skip


def made_once(name: str) -> Application:
    return Application.objects.filter(name=name).first() or made(name)


def host_named(name: str) -> Host:
    return Host.objects.filter(name=name).first() or host(name)


def test_a_version_does_not_judge_what_was_before_it(inside: UUID) -> None:
    in_force(cpu_millicores=500, since=NOON)
    busy(made("shop"), host("web-1"), NOON - BUCKET)
    assert watch_limits(DAY, as_of=NOON + 10 * MINUTE) == 0


def test_each_of_the_last_days_is_looked_at_again_within_a_day() -> None:
    looks = [NOON.replace(hour=hour, minute=9) for hour in range(24)]
    seen = [day for look in looks for day in days_to_watch(look)]
    for back in range(8):
        assert seen.count(DAY - timedelta(days=back)) >= 4
    assert days_to_watch(NOON.replace(minute=19)) == [DAY]


def test_a_tenants_limits_judge_that_tenant(tenant: Tenant, other_tenant: Tenant) -> None:
    for each in (tenant, other_tenant):
        with tenant_scope(each.pk):
            now = datetime.now(UTC)
            busy(made("shop"), host("web-1"), now - 2 * BUCKET)
    with tenant_scope(tenant.pk):
        in_force(cpu_millicores=500, since=datetime.now(UTC) - timedelta(days=1))
    watch_limits_all()
    with tenant_scope(other_tenant.pk):
        assert not PolicyBreach.objects.exists()
