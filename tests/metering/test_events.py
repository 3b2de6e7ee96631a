"""Events are stored once, roll up beside samples and mark what is to be computed anew."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from metering.core.aggregation import Aggregate, MeasuredWindow, aggregates
from metering.core.cloudevents import parse_event
from metering.events import EventResult, store_events
from metering.models import Application, DirtyBucket, Instance
from metering.queries import NO_HOST, rollups_of
from metering.rollup_models import HourRollup, Rollup
from metering.rollups import roll_up
from metering.stated_models import Event
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.metering.core.test_cloudevents import NOW, data, event
from tests.metering.test_rollups import stored


def stored_events(*documents: dict[str, Any]) -> list[EventResult]:
    return store_events([parse_event(each, as_of=NOW) for each in documents], as_of=NOW)


def outcomes(results: list[EventResult]) -> list[str]:
    return [each.outcome for each in results]


@pytest.mark.usefixtures("inside")
class TestEvents:
    def test_are_stored_once(self) -> None:
        assert outcomes(stored_events(event(), event(id="2"))) == ["stored", "stored"]
        assert outcomes(stored_events(event(id="2"), event(id="3"), event(id="3"))) == [
            "duplicate", "stored", "duplicate",
        ]  # fmt: skip
        assert Event.objects.count() == 3
        assert DirtyBucket.objects.count() == 2

    def test_that_contradict_what_is_stored_are_told_so(self) -> None:
        stored_events(event())
        other = event(data=data(quantity=9))
        assert outcomes(stored_events(other, event(id="2"), other | {"id": "2"})) == [
            "conflict", "stored", "conflict",
        ]  # fmt: skip
        assert set(Event.objects.values_list("quantity", flat=True)) == {3}

    def test_that_are_refused_leave_the_others_alone(self) -> None:
        results = stored_events(event(subject="nowhere/mail"), {}, event())
        assert outcomes(results) == ["refused", "refused", "stored"]
        assert "no environment" in results[0].reason
        assert list(Application.objects.values_list("name", flat=True)) == ["mail"]

    def test_are_never_changed_or_deleted(self) -> None:
        stored_events(event())
        for change in (Event.objects.all().delete, lambda: Event.objects.update(quantity=4)):
            with pytest.raises(IntegrityError), transaction.atomic():
                change()


class TestRollupsOfEvents:
    def test_are_what_the_pure_aggregation_says(self, tenant: Tenant) -> None:
        documents = [
            event(id=str(number), source=source, data=data(meter=meter, quantity=quantity))
            for number, (source, meter, quantity) in enumerate(
                [
                    ("a", "mails.sent", 2**63 - 1),
                    ("a", "mails.sent", 2**63 - 1),
                    ("a", "transactions", 5),
                    ("a", "queue.max", 7),
                    ("a", "queue.max", 4),
                    ("b", "mails.sent", 1),
                ]
            )
        ]
        with tenant_scope(tenant.pk):
            stored_events(*documents)
        assert roll_up(tenant.pk) == 1
        with tenant_scope(tenant.pk):
            expected = aggregates(
                MeasuredWindow(
                    row.application_id, row.instance_id, "primary", row.time, row.time, 0,
                    {row.meter: row.quantity},
                )
                for row in Event.objects.all()
            )  # fmt: skip
        assert stored(tenant) == expected
        with tenant_scope(tenant.pk):
            hour = HourRollup.objects.get()
            assert (hour.instances, hour.window_us, hour.more) == (
                0, Decimal(0), {"mails.sent": 2**64 - 1, "queue.max": 7},
            )  # fmt: skip

    def test_follow_late_events(self, tenant: Tenant) -> None:
        for quantity in (1, 2):
            with tenant_scope(tenant.pk):
                stored_events(event(id=str(quantity), data=data(quantity=quantity)))
            roll_up(tenant.pk)
        assert list(stored(tenant).values()) == [Aggregate(2, 0, 0, {"m": 3})]

    def test_are_named_without_a_host(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            stored_events(event())
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            (row,) = rollups_of(
                Application.objects.get().pk, NOW - timedelta(hours=2), NOW, limit=10
            )
        assert (row.host, row.host_id, row.instance) == (NO_HOST, None, event()["source"])


@pytest.mark.django_db(transaction=True)
def test_sent_at_once_are_stored_once(tenant: Tenant) -> None:
    def send(quantity: int) -> list[str]:
        return outcomes(stored_events(event(data=data(quantity=quantity)), event(id="2")))

    one, other = at_once(tenant.pk, lambda: send(1), lambda: send(2))
    assert sorted((one[0], other[0])) == ["conflict", "stored"]
    assert sorted((one[1], other[1])) == ["duplicate", "stored"]
    with tenant_scope(tenant.pk):
        assert (Event.objects.count(), Instance.objects.count()) == (2, 1)
    assert roll_up(tenant.pk) == 1
    assert len(rollups(tenant)) == 1


def rollups(tenant: Tenant) -> list[UUID]:
    with tenant_scope(tenant.pk):
        return list(Rollup.objects.values_list("instance_id", flat=True))


def test_of_the_future_bucket_are_taken(inside: UUID) -> None:
    ahead = NOW + timedelta(minutes=9)
    assert outcomes(stored_events(event(time=ahead.isoformat()))) == ["stored"]
    assert DirtyBucket.objects.get().bucket_start == datetime(2026, 11, 25, 12, 5, tzinfo=UTC)
