"""A host's usage is told apart by customer and application, from real rollups, without a rest."""

import random
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db.models import Field, Sum
from hostmeter_agent.wire import VALUE_MAX

from metering.allocation import MaximumNotAllocated, capacity_of, host_allocation
from metering.core.allocation import RULES, Rule
from metering.core.buckets import BUCKET
from metering.core.hours import HOUR
from metering.models import (
    CPU_COUNT_MAX,
    MEMORY_BYTES_MAX,
    UNATTRIBUTED,
    Application,
    Assignment,
    Host,
    Instance,
)
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment
from tests.billing.timeline import at

START, END = at(10, 3), at(10, 4)
CAPACITY = 4 * 86_400 * 10**6
MIDDLE = at(10, 3, 12)


@pytest.fixture
def host(inside: UUID) -> Host:
    """With usage of three applications, of which one changes hands and one is nobody's; a second
    host has usage of the same."""
    chance = random.Random(3)  # noqa: S311
    environment = Environment.objects.get()
    hosts = [
        Host.objects.create(name=name, environment=environment, cpu_count=4, memory_bytes=2**34)
        for name in ("one", "two")
    ]
    for name in ("shop", "mail", UNATTRIBUTED):
        application = Application.objects.create(name=name, environment=environment)
        for each in hosts:
            instance = Instance.objects.create(application=application, host=each, name="1")
            for number in chance.sample(range(-50, 350), 150):
                use(instance, START + number * BUCKET, chance.randrange(10**7))
    for name, bounds in (("first", (None, MIDDLE)), ("second", (MIDDLE, None))):
        customer = Customer.objects.create(name=name, reference=name)
        Assignment.objects.create(
            application=Application.objects.get(name="shop"), customer=customer,
            starts_at=bounds[0] or START, ends_at=bounds[1],
        )  # fmt: skip
    return hosts[0]


def use(instance: Instance, when: datetime, used: int) -> None:
    Rollup.objects.create(
        tenant=instance.tenant, application=instance.application, instance=instance,
        role="primary", bucket_start=when, samples=1, window_us=1, covered_us=1, cpu_time=used,
    )  # fmt: skip


def used_by(host: Host, name: str, start: datetime = START, end: datetime = END) -> int:
    rows = Rollup.objects.filter(
        instance__host=host, application__name=name, bucket_start__gte=start, bucket_start__lt=end
    )
    return int(rows.aggregate(used=Sum("cpu_time"))["used"])


class TestAHost:
    @pytest.mark.parametrize("rule", RULES)
    def test_is_the_sum_of_customers_idle_and_unattributed(self, host: Host, rule: Rule) -> None:
        found = host_allocation(host, "cpu.time", START, END, rule, CAPACITY)
        given = sum(each.total for each in found.shares)
        assert given + found.idle_left + found.unattributed_left == found.total
        assert found.total == 4 * 86_400 * 10**6
        assert found.unattributed == used_by(host, UNATTRIBUTED)
        if rule != "none":
            assert given == found.total

    def test_tells_the_customers_of_an_application_apart(self, host: Host) -> None:
        found = host_allocation(host, "cpu.time", START, END, "none", CAPACITY)
        names = {each.pk: each.name for each in Customer.objects.all()}
        owned = {
            each.share.customer_id and names[each.share.customer_id]: each.share.own
            for each in found.shares
        }
        assert owned == {
            "first": used_by(host, "shop", START, MIDDLE),
            "second": used_by(host, "shop", MIDDLE, END),
            None: used_by(host, "mail"),
        }

    def test_has_no_sum_of_maxima(self, host: Host) -> None:
        with pytest.raises(MaximumNotAllocated):
            host_allocation(host, "memory.used.max", START, END, "none", CAPACITY)

    def test_has_the_capacity_that_was_stated(self, host: Host) -> None:
        assert capacity_of(host, "memory.used", timedelta(hours=1)) == 2**34 * 3_600
        assert capacity_of(host, "disk.read", timedelta(hours=1)) is None


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("field", "meter", "most"),
    [("cpu_count", "cpu.time", CPU_COUNT_MAX), ("memory_bytes", "memory.used", MEMORY_BYTES_MAX)],
)
def test_a_capacity_that_can_be_stated_is_usage_for_an_hour(
    field: str, meter: str, most: int
) -> None:
    stated = Host._meta.get_field(field)
    assert isinstance(stated, Field)
    host = Host.objects.create(
        name="one", environment=Environment.objects.get(), **{field: stated.clean(most, None)}
    )
    assert (capacity_of(host, meter, HOUR) or 0) <= VALUE_MAX
    with pytest.raises(ValidationError, match="less than or equal to"):
        stated.clean(most + 1, None)
