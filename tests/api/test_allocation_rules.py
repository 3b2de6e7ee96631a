"""Programs state how hosts' idle usage is spread."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from metering import allocation_rules
from metering.allocating import allocate_tenant
from metering.core.hours import HOUR, hour_of
from metering.stated_models import AllocationRule
from tenants.api.fields import written_instant
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of
from tests.metering.test_allocating import shared_host

pytestmark = pytest.mark.django_db

START = hour_of(timezone.now()) - timedelta(days=1)


def body(**changes: Any) -> dict[str, Any]:
    stated = {"meter": "cpu.time", "spread": "evenly", "author": "support"}
    return stated | {"starts_at": written_instant(START)} | changes


def made(program: Program, **changes: Any) -> Any:
    return done(program.post("/allocation-rules", body(**changes)), 201)


def end(hours: int) -> dict[str, str]:
    return {"ends_at": written_instant(START + hours * HOUR), "author": "support"}


class TestARule:
    def test_is_stated_once_read_and_listed(self, tenant: Tenant, program: Program) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host()
        rule = made(program, host_id=str(host.pk))
        assert (rule["host_id"], rule["host_class"], rule["spread"]) == (str(host.pk), "", "evenly")
        assert rule["author"].startswith("support, by key ")
        first = program.get(f"/allocation-rules/{rule['id']}")
        assert done(first) == rule
        known = {"If-None-Match": first["ETag"]}
        assert program.get(f"/allocation-rules/{rule['id']}", headers=known).status_code == 304
        other = made(program, meter="memory.used")
        listed = done(program.get("/allocation-rules"))["data"]
        assert [each["id"] for each in listed] == [other["id"], rule["id"]]
        assert done(program.get("/allocation-rules", host=str(host.pk)))["data"] == [rule]
        assert done(program.get("/allocation-rules", meter="cpu.time"))["data"] == [rule]

    def test_is_made_once_by_a_request_that_comes_twice(
        self, tenant: Tenant, program: Program
    ) -> None:
        answers = [program.post("/allocation-rules", body(), named="one") for _ in range(2)]
        assert done(answers[0], 201) == done(answers[1], 201)
        assert answers[1]["Idempotency-Replayed"] == "true"
        problem(program.post("/allocation-rules", body(), named=None), 400)
        with tenant_scope(tenant.pk):
            assert AllocationRule.objects.count() == 1

    def test_is_ended_by_a_rule_of_none(self, tenant: Tenant, program: Program) -> None:
        rule = made(program, host_class="shared")
        path = f"/allocation-rules/{rule['id']}/end"
        assert fields(program.post(path, end(-1))) == {"ends_at"}
        none = done(program.post(path, end(5)), 201)
        assert (none["spread"], none["host_class"]) == ("none", "shared")
        assert none["starts_at"] == written_instant(START + 5 * HOUR)
        assert problem(program.post(path, end(6)), 409)["type"] == "allocation-rule-ended"
        done(program.post(path, end(4)), 201)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"meter": "mails"}, "rule"),
            ({"meter": "memory.used.max"}, "meter"),
            ({"spread": "by_luck"}, "spread"),
            ({"starts_at": written_instant(START + timedelta(minutes=30))}, "rule"),
            ({"host_class": "x" * 61}, "host_class"),
        ],
    )
    def test_that_cannot_be_says_why(
        self, program: Program, changes: dict[str, Any], field: str
    ) -> None:
        assert fields(program.post("/allocation-rules", body(**changes))) == {field}

    def test_begins_before_no_hour_that_is_posted(self, tenant: Tenant, program: Program) -> None:
        with tenant_scope(tenant.pk):
            shared_host(hour=START)
        made(program)
        assert allocate_tenant(tenant.pk, as_of=timezone.now()).postings == 2
        refused = problem(program.post("/allocation-rules", body(spread="none")), 409)
        assert refused["type"] == "hours-are-posted"

    def test_is_one_of_a_bounded_number(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(allocation_rules, "RULES_MAX", 1)
        made(program)
        refused = problem(program.post("/allocation-rules", body()), 409)
        assert refused["detail"] == "There are 1 rules, which is the most."

    def test_is_stated_by_who_may_write_them(self, tenant: Tenant) -> None:
        reader = program_of(tenant, ["allocation:read"])
        refused = problem(reader.post("/allocation-rules", body()), 403)
        assert refused["scope"] == "allocation:write"
