"""An hour that cannot be spread is kept with its reason, and holds nothing else back."""

from datetime import datetime

import pytest

from metering import allocating
from metering.allocating import allocate_tenant, retry_failures
from metering.allocation import Owners, owners_in
from metering.allocation_rules import is_allocated, mark_hours, state_rule
from metering.core.hours import HOUR
from metering.models import Host
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.test_allocating import LATER, NINE, TEN, rule, shared_host


def too_large_host() -> Host:
    """Of which memory.used of the hour cannot be posted, and cpu.time can."""
    host = shared_host()
    Host.objects.filter(pk=host.pk).update(memory_bytes=2**62)
    state_rule("memory.used", "evenly", starts_at=NINE, author="o", as_of=LATER, host=host)
    rule()
    Rollup.objects.filter(bucket_start=NINE).update(memory_used=5)
    return host


class TestAnHour:
    def test_too_large_to_be_usage_holds_nothing_else_back(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            too_large_host()
            shared_host("web-2")
        outcome = allocate_tenant(tenant.pk, as_of=LATER)
        assert str(outcome.failures[0]).startswith(
            "2026-10-12T09:00Z, memory.used of web-1: 8301034833169298227195 is more"
        )
        # Of two hosts cpu.time, by two applications.
        assert (len(outcome.failures), outcome.postings) == (1, 4)

    def test_that_fails_is_tried_again_once_it_is_marked(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            too_large_host()
        assert len(allocate_tenant(tenant.pk, as_of=LATER).failures) == 1
        assert allocate_tenant(tenant.pk, as_of=LATER).hours == 0
        with tenant_scope(tenant.pk):
            assert not is_allocated(NINE, TEN)
            assert retry_failures() == 1
        assert len(allocate_tenant(tenant.pk, as_of=LATER).failures) == 1
        with tenant_scope(tenant.pk):
            Host.objects.update(memory_bytes=2**34)
            retry_failures()
        assert allocate_tenant(tenant.pk, as_of=LATER).failures == []
        with tenant_scope(tenant.pk):
            assert is_allocated(NINE, TEN)

    def test_that_fails_in_no_known_way_holds_no_other_back(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with tenant_scope(tenant.pk):
            shared_host()
            shared_host("web-2", hour=TEN)
            rule()
            mark_hours(NINE, TEN + HOUR)

        def owners_but_of_nine(start: datetime, end: datetime) -> Owners:
            if start == NINE:
                raise KeyError("gone")
            return owners_in(start, end)

        monkeypatch.setattr(allocating, "owners_in", owners_but_of_nine)
        outcome = allocate_tenant(tenant.pk, as_of=LATER + HOUR)
        assert [str(each) for each in outcome.failures] == [
            "2026-10-12T09:00Z, all hosts: the server failed (KeyError); its log says where"
        ]
        assert outcome.postings == 2
        assert "2026-10-12T09:00Z is not spread" in caplog.text
        assert allocate_tenant(tenant.pk, as_of=LATER + HOUR).hours == 0
