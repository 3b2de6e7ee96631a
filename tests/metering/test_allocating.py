"""Hosts' hours are posted once, exactly, and never counted as usage of the host."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Signal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from metering.allocated_events import capacity_over
from metering.allocating import (
    SETTLED_AFTER,
    allocate_hour,
    allocate_tenant,
    due_hours,
)
from metering.allocation import MaximumNotAllocated, host_allocation
from metering.allocation_rules import (
    AllocationRuleNotUsable,
    is_allocated,
    mark_hours,
    rule_for,
    state_rule,
)
from metering.core.buckets import BUCKET
from metering.core.hours import HOUR
from metering.models import (
    UNATTRIBUTED,
    Application,
    Assignment,
    DirtyBucket,
    Host,
    Instance,
)
from metering.operations import assign_application
from metering.rollup_models import Rollup
from metering.rollups import roll_up
from metering.stated_models import AllocationMark, AllocationRule, Event
from metering.usage import usage_by_application
from metering.usage_rows import UsagePeriod
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.timeline import at
from tests.locks import another_waits
from tests.metering.test_allocation import use

NINE, TEN = at(10, 12, 9), at(10, 12, 10)
HALF = at(10, 12, 9, 30)
LATER = TEN + SETTLED_AFTER
CAPACITY = 4 * 3_600 * 10**6


def shared_host(name: str = "web-1", host_class: str = "", hour: datetime = NINE) -> Host:
    """Of 4 processors, with usage of two applications, the kernel and nobody in the hour."""
    environment = Environment.objects.get()
    host = Host.objects.create(
        name=name, environment=environment, cpu_count=4, host_class=host_class
    )
    used = {"shop": 3_000_001, "mail": 1_000_000, "kernel": 7, UNATTRIBUTED: 500}
    for program, cpu_us in used.items():
        application, _ = Application.objects.get_or_create(name=program, environment=environment)
        instance = Instance.objects.create(application=application, host=host, name="1")
        use(instance, hour, cpu_us)
        use(instance, hour + timedelta(minutes=30), cpu_us)
    return host


def rule(
    spread: str = "by_share",
    starts_at: datetime = NINE,
    host: Host | None = None,
    host_class: str = "",
) -> AllocationRule:
    return state_rule(
        "cpu.time",
        spread,
        starts_at=starts_at,
        author="owner@first.example",
        as_of=LATER,
        host=host,
        host_class=host_class,
    )


def spread_of(name: str, start: datetime = NINE, end: datetime = TEN) -> int | None:
    application = Application.objects.get(name=name)
    used = usage_by_application([UsagePeriod(application.pk, start, end)], ["cpu.time.allocated"])
    return used.get(application.pk, {}).get("cpu.time.allocated")


def posted() -> int:
    return int(Event.objects.aggregate(posted=Sum("quantity"))["posted"] or 0)


class TestAnHour:
    def test_is_spread_without_a_rest(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            rule()
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 2
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            spread = [spread_of("shop"), spread_of("mail")]
            assert sum(each or 0 for each in spread) == CAPACITY - 2 * 4_000_001
            assert [spread_of("kernel"), spread_of(UNATTRIBUTED)] == [None, None]

    def test_does_not_count_its_own_postings(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host()
            before = host_allocation(host, "cpu.time", NINE, TEN, "by_share", CAPACITY)
            rule()
        for _ in range(2):
            allocate_tenant(tenant.pk, as_of=LATER)
            roll_up(tenant.pk)
            with tenant_scope(tenant.pk):
                assert host_allocation(host, "cpu.time", NINE, TEN, "by_share", CAPACITY) == before
                assert is_allocated(NINE, TEN)
                mark_hours(NINE, TEN)
        with tenant_scope(tenant.pk):
            assert posted() == CAPACITY - before.used

    def test_that_is_not_settled_waits(self, tenant: Tenant) -> None:
        early = LATER - timedelta(seconds=1)
        with tenant_scope(tenant.pk):
            shared_host()
            rule()
            assert due_hours(early) == []
            assert due_hours(LATER) == [NINE]
            assert not is_allocated(NINE, TEN)
        assert allocate_tenant(tenant.pk, as_of=early).hours == 0

    def test_waits_for_older_ones_where_there_are_many(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            rule()
            mark_hours(NINE - HOUR, NINE)
        done = [allocate_tenant(tenant.pk, as_of=LATER, hours_max=1).postings for _ in range(3)]
        assert done == [0, 2, 0]

    def test_is_that_of_each_customer_from_where_it_is_theirs(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            for name, start, end in (("a", NINE, HALF), ("b", HALF, None)):
                customer = Customer.objects.create(name=name, reference=name)
                Assignment.objects.create(
                    application=Application.objects.get(name="shop"), customer=customer,
                    starts_at=start, ends_at=end,
                )  # fmt: skip
            rule("evenly")
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 3
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            third = (CAPACITY - 2 * 4_000_001) // 3
            for start, end in ((NINE, HALF), (HALF, TEN)):
                assert abs((spread_of("shop", start, end) or 0) - third) <= 1

    def test_is_told_apart_anew_where_an_application_is_assigned_later(
        self, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            rule()
        allocate_tenant(tenant.pk, as_of=LATER)
        with tenant_scope(tenant.pk):
            before = posted()
            customer = Customer.objects.create(name="a", reference="a")
            assign_application(Application.objects.get(name="shop"), customer, HALF, as_of=LATER)
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 2
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            assert posted() == before
            assert (spread_of("shop", HALF, TEN) or 0) > 5_000_000_000

    def test_is_told_apart_anew_where_the_kernel_is_somebodys_after_all(
        self, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host()
            rule()
            use(Instance.objects.get(host=host, application__name="kernel"), TEN, 70)
            use(Instance.objects.get(host=host, application__name="shop"), TEN, 70)
            mark_hours(NINE, TEN + HOUR)
        assert allocate_tenant(tenant.pk, as_of=LATER + HOUR).postings == 3
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="a", reference="a")
            kernel = Application.objects.get(name="kernel")
            assign_application(kernel, customer, NINE, as_of=LATER + HOUR)
            assert due_hours(LATER + HOUR) == [NINE, TEN]
            assign_application(kernel, customer, NINE - HOUR, as_of=LATER + HOUR)
            assert due_hours(LATER + HOUR) == [NINE - HOUR, NINE, TEN]

    def test_keeps_the_capacity_with_which_it_was_posted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            rule()
        allocate_tenant(tenant.pk, as_of=LATER)
        with tenant_scope(tenant.pk):
            before = posted()
            Host.objects.update(cpu_count=8, name="renamed")
            mark_hours(NINE, TEN)
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 0
        with tenant_scope(tenant.pk):
            assert posted() == before

    def test_is_told_with_the_capacity_by_which_it_was_posted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host()
            rule()
        allocate_tenant(tenant.pk, as_of=LATER)
        with tenant_scope(tenant.pk):
            host.cpu_count = 8
            over = partial(capacity_over, host, "cpu.time")
            assert over(NINE, TEN) == CAPACITY
            assert over(NINE - HOUR, TEN + HOUR) == CAPACITY + 2 * 2 * CAPACITY
            assert over(HALF, TEN + HOUR) == CAPACITY // 2 + 2 * CAPACITY
            host.cpu_count = None
            assert over(NINE, TEN) == CAPACITY
            assert over(NINE, TEN + HOUR) is None


class TestMarks:
    def test_follow_what_changes_usage_of_a_host_alone(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            shop = Application.objects.create(name="shop", environment=Environment.objects.get())
            for of_host, bucket in ((True, HALF), (False, TEN)):
                DirtyBucket.objects.create(
                    tenant=tenant, application_id=shop.pk, bucket_start=bucket, of_host=of_host
                )
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            assert list(AllocationMark.objects.values_list("hour", flat=True)) == [NINE]

    def test_of_a_run_that_fails_stay(self, tenant: Tenant) -> None:
        class Killed(Exception):
            pass

        with tenant_scope(tenant.pk):
            shared_host()
            rule()

        def killed_run() -> None:
            with tenant_scope(tenant.pk):
                assert allocate_hour(NINE, as_of=LATER).postings == 2
                raise Killed

        with pytest.raises(Killed):
            killed_run()
        with tenant_scope(tenant.pk):
            assert (posted(), due_hours(LATER)) == (0, [NINE])
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 2


@pytest.mark.django_db(transaction=True)
def test_two_at_once_post_an_hour_once(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        shared_host()
        rule()
        mark_hours(NINE, TEN)
    made = at_once(tenant.pk, *[lambda: allocate_hour(NINE, as_of=LATER).postings] * 2)
    assert sorted(made) == [0, 2]
    with tenant_scope(tenant.pk):
        assert posted() == CAPACITY - 2 * 4_000_001


@pytest.mark.django_db(transaction=True)
def test_whoever_posts_an_hour_waits_for_a_rule_that_is_being_stated(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        shared_host()
        rule("none", NINE - HOUR)
        mark_hours(NINE, TEN)
    stated, held = Signal(), Signal()

    def state() -> None:
        with closing(connection), tenant_scope(tenant.pk):
            rule("evenly")
            stated.set()
            assert held.wait(20)

    def allocate() -> int:
        with closing(connection), tenant_scope(tenant.pk):
            return allocate_hour(NINE, as_of=LATER).postings

    with ThreadPoolExecutor(2) as pool:
        stating = pool.submit(state)
        assert stated.wait(20)
        allocating = pool.submit(allocate)
        # It is at the lock, or has gone past where there is none.
        while not allocating.done() and not another_waits():
            pass
        held.set()
        stating.result()
        assert allocating.result() == 2


@pytest.mark.usefixtures("inside")
class TestARule:
    def test_is_the_narrowest_and_the_last(self) -> None:
        one, other = shared_host("one", "large"), shared_host("other", "small")
        rules = [
            rule(),
            rule("evenly", starts_at=TEN),
            rule("evenly", host_class="large"),
            rule("none", host=one),
        ]
        corrected = state_rule(
            "cpu.time", "evenly", starts_at=NINE, author="o", as_of=LATER + HOUR, host=one
        )
        rules.append(corrected)
        assert rule_for(rules, one, "cpu.time", NINE) == corrected
        assert rule_for(rules[:3], one, "cpu.time", TEN) == rules[2]
        assert rule_for(rules, other, "cpu.time", NINE) == rules[0]
        assert rule_for(rules, other, "cpu.time", TEN) == rules[1]
        assert rule_for(rules, other, "cpu.time", NINE - HOUR) is None
        assert rule_for(rules, other, "memory.used", TEN) is None

    def test_is_never_changed_or_deleted(self) -> None:
        rule()
        for change in (
            AllocationRule.objects.all().delete,
            lambda: AllocationRule.objects.update(spread="none"),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                change()

    def test_never_begins_before_what_is_posted(self) -> None:
        host, other = shared_host(), shared_host("other")
        rule(host=host)
        allocate_hour(NINE, as_of=LATER)
        rule("evenly", host=other)
        for scope in (None, host):
            with pytest.raises(AllocationRuleNotUsable, match="up to 2026-10-12 10:00 UTC"):
                rule("evenly", host=scope)
            rule("evenly", starts_at=TEN, host=scope)

    @pytest.mark.parametrize(
        ("meter", "spread", "starts_at", "reason"),
        [
            ("mails", "evenly", NINE, "no host measures"),
            ("cpu.time.allocated", "evenly", NINE, "no host measures"),
            ("cpu.time", "by_luck", NINE, "one of none, by_share, evenly"),
            ("cpu.time", "evenly", HALF, "full hour of UTC"),
            ("cpu.time", "evenly", at(1, 1), "over 92 days ago"),
            ("cpu.time", "evenly", LATER.replace(year=2028, minute=0), "over 400 days ahead"),
        ],
    )
    def test_says_what_is_wrong_with_it(
        self, meter: str, spread: str, starts_at: datetime, reason: str
    ) -> None:
        with pytest.raises(AllocationRuleNotUsable, match=reason):
            state_rule(meter, spread, starts_at=starts_at, author="o", as_of=LATER)

    def test_of_a_maximum_names_its_gauge(self) -> None:
        with pytest.raises(MaximumNotAllocated, match=r"do not add up.*name memory\.used$"):
            state_rule("memory.used.max", "evenly", starts_at=NINE, author="o", as_of=LATER)


@pytest.mark.django_db(transaction=True)
def test_usage_that_is_rolled_up_meanwhile_is_posted_by_the_next_run(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        shared_host()
        rule()
        shop = Application.objects.get(name="shop")
    rolled_up, posted_first = Signal(), Signal()

    def roll_up_slowly() -> None:
        try:
            with tenant_scope(tenant.pk):
                Rollup.objects.filter(application=shop).update(cpu_time=1)
                DirtyBucket.objects.create(
                    tenant=tenant, application_id=shop.pk, bucket_start=TEN - BUCKET
                )
                roll_up(tenant.pk)
                rolled_up.set()
                assert posted_first.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(roll_up_slowly)
        assert rolled_up.wait(30)
        assert allocate_tenant(tenant.pk, as_of=LATER).postings == 2
        posted_first.set()
        slow.result(timeout=60)
    assert allocate_tenant(tenant.pk, as_of=LATER).postings == 2
    with tenant_scope(tenant.pk):
        assert posted() == CAPACITY - 2 * 1_000_000 - 2
