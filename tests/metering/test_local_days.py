"""A tenant keeps the days of the zones that its customers live in."""

import random
import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils.text import slugify

from metering import local_days
from metering.core.hours import has_days_of_hours
from metering.local_days import keep_local_days
from metering.rollup_models import DayZone, HourRollup, LocalDay, Rollup
from metering.rollups import _lock_applications
from metering.tasks import keep_local_days_all
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.locks import another_waits
from tests.metering.test_usage import FIRST, chance, make_applications, make_rollups

__all__ = ["chance"]

BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"
LATER = FIRST + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("zone", "fits"),
    [
        (BERLIN, True),
        ("America/New_York", True),
        ("Pacific/Auckland", True),
        # On a half of an hour, or a quarter.
        ("Asia/Kolkata", False),
        ("Asia/Kathmandu", False),
        ("Australia/Lord_Howe", False),
        # Clocks change at midnight: back, or forward.
        ("America/Havana", False),
        ("Africa/Cairo", False),
    ],
)
def test_days_that_begin_once_on_an_hour_of_utc_can_be_kept(zone: str, fits: bool) -> None:
    assert has_days_of_hours(zone) == fits


def live_in(*zones: str) -> list[Customer]:
    return [
        Customer.objects.create(name=zone, reference=f"{slugify(zone)}-{number}", time_zone=zone)
        for number, zone in enumerate(zones)
    ]


def kept_zones(tenant: Tenant, *, as_of: datetime) -> set[str]:
    """Those that readers use, once a tick is over."""
    keep_local_days(tenant.pk, as_of=as_of)
    with tenant_scope(tenant.pk):
        zones = DayZone.objects.filter(ready=True, left_at=None)
        return set(zones.values_list("time_zone", flat=True))


def zones_with_days(tenant: Tenant) -> set[str]:
    with tenant_scope(tenant.pk):
        return set(LocalDay.objects.values_list("time_zone", flat=True))


class TestTheZones:
    def test_are_those_of_the_most_customers(self, tenant: Tenant) -> None:
        assert kept_zones(tenant, as_of=FIRST) == set()
        with tenant_scope(tenant.pk):
            live_in("UTC", "UTC", "Asia/Kolkata", TOKYO)
            live_in(*[BERLIN, "Europe/Paris", "Europe/Rome"] * 2)
        assert kept_zones(tenant, as_of=FIRST) == {BERLIN, "Europe/Paris", "Europe/Rome"}

    def test_stay_where_others_have_as_many(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            live_in(TOKYO, "Pacific/Auckland", "Pacific/Fiji")
        zones = kept_zones(tenant, as_of=FIRST)
        with tenant_scope(tenant.pk):
            live_in(BERLIN)
        assert kept_zones(tenant, as_of=LATER) == zones

    def test_end_some_minutes_after_the_last_customer_left(
        self, tenant: Tenant, chance: random.Random
    ) -> None:
        with tenant_scope(tenant.pk):
            (customer,) = live_in(BERLIN)
            make_applications()
            make_rollups(chance)
        assert kept_zones(tenant, as_of=FIRST) == {BERLIN}
        with tenant_scope(tenant.pk):
            Customer.objects.filter(pk=customer.pk).update(time_zone=TOKYO)
        assert kept_zones(tenant, as_of=FIRST) == {TOKYO}
        # Whoever had looked before still finds them, as they are now.
        with tenant_scope(tenant.pk):
            Rollup.objects.update(cpu_time=7)
            used = sum(row.cpu_time for row in HourRollup.objects.all())  # type: ignore[attr-defined]
            days = LocalDay.objects.filter(time_zone=BERLIN)
            assert sum(row.cpu_time for row in days) == used  # type: ignore[attr-defined]
        assert kept_zones(tenant, as_of=LATER) == {TOKYO}
        assert zones_with_days(tenant) == {TOKYO}

    def test_that_come_back_meanwhile_stay(self, tenant: Tenant, chance: random.Random) -> None:
        with tenant_scope(tenant.pk):
            (customer,) = live_in(BERLIN)
            make_applications()
            make_rollups(chance)
        for zone in (BERLIN, TOKYO, BERLIN):
            with tenant_scope(tenant.pk):
                Customer.objects.filter(pk=customer.pk).update(time_zone=zone)
            assert kept_zones(tenant, as_of=FIRST) == {zone}
        assert kept_zones(tenant, as_of=LATER) == {BERLIN}
        assert zones_with_days(tenant) == {BERLIN}

    def test_are_each_tenants_own(
        self, tenant: Tenant, other_tenant: Tenant, chance: random.Random
    ) -> None:
        for each, zone in ((tenant, BERLIN), (other_tenant, TOKYO)):
            with tenant_scope(each.pk):
                live_in(zone)
                make_applications()
                make_rollups(chance)
        # Three applications each.
        assert keep_local_days_all() == 6
        assert (zones_with_days(tenant), zones_with_days(other_tenant)) == ({BERLIN}, {TOKYO})


class TestFillingIn:
    def test_goes_on_where_it_was_killed(
        self, tenant: Tenant, chance: random.Random, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tenant_scope(tenant.pk):
            live_in(BERLIN)
            make_applications()
            make_rollups(chance)
        fill = local_days._fill_next
        filled: list[UUID] = []

        def killed(tenant_id: UUID, zone_id: UUID) -> bool:
            if filled:
                raise KeyboardInterrupt
            filled.append(zone_id)
            return fill(tenant_id, zone_id)

        monkeypatch.setattr(local_days, "_fill_next", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_local_days(tenant.pk, as_of=FIRST)
        monkeypatch.undo()
        with tenant_scope(tenant.pk):
            assert not DayZone.objects.get().ready
        assert keep_local_days(tenant.pk, as_of=FIRST) == 2
        with tenant_scope(tenant.pk):
            assert DayZone.objects.get().ready

    @pytest.mark.django_db(transaction=True)
    def test_misses_no_hour_that_is_written_meanwhile(
        self, tenant: Tenant, chance: random.Random
    ) -> None:
        """A worker has written hours before there was a zone, and commits after."""
        with tenant_scope(tenant.pk):
            live_in(BERLIN)
            applications = [each.pk for each in make_applications()]
        wrote, may_commit = threading.Event(), threading.Event()

        def roll_up() -> None:
            with tenant_scope(tenant.pk):
                _lock_applications(set(applications))
                make_rollups(chance)
                wrote.set()
                assert may_commit.wait(30)
            connection.close()

        def fill() -> None:
            keep_local_days(tenant.pk, as_of=FIRST)
            connection.close()

        writing, filling = threading.Thread(target=roll_up), threading.Thread(target=fill)
        writing.start()
        assert wrote.wait(30)
        filling.start()
        while not another_waits():
            assert filling.is_alive()
        may_commit.set()
        for each in (writing, filling):
            each.join(30)
        with tenant_scope(tenant.pk):
            hours, days = HourRollup.objects.all(), LocalDay.objects.all()
            assert sum(row.window_us for row in days) == sum(row.window_us for row in hours) > 0
