"""Programs configure environments and run policies."""

from typing import Any
from uuid import uuid4

import pytest

from metering.models import Host
from tenants.history import changes_of
from tenants.models import Environment, Tenant
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, problem, program_of


@pytest.fixture
def program(tenant: Tenant) -> Program:
    return program_of(tenant)


class TestEnvironments:
    def test_are_added_once_and_changed_in_part(self, program: Program, tenant: Tenant) -> None:
        body = {"name": "staging", "hosts_max": 5, "application_patterns": ["shop*"]}
        made = program.post("/environments", body, named="one")
        done(made, 201)
        assert program.post("/environments", body, named="one").json() == made.json()
        problem(program.post("/environments", body), 409)
        address = f"/environments/{made.json()['id']}"
        changed = program.patch(address, {"hosts_max": None, "version": "1.4", "reason": "grown"})
        done(changed)
        expected = made.json() | {"hosts_max": None, "version": "1.4"}
        assert changed.json() == program.get(address).json() == expected
        with tenant_scope(tenant.pk):
            (change, _) = changes_of(Environment, Environment.objects.get(name="staging").pk)
        assert (change.reason, change.who) == ("grown", "API key a program")

    @pytest.mark.parametrize(
        "change",
        [
            {"hosts_max": 0}, {"version": "newest"}, {"name": ""}, {"name": "a\nb"},
            {"application_patterns": [" "]}, {"application_patterns": [""]}, {"streamed": True},
        ],
    )  # fmt: skip
    def test_take_nothing_out_of_bounds(self, program: Program, change: dict[str, Any]) -> None:
        made = program.post("/environments", {"name": "staging"}).json()
        problem(program.patch(f"/environments/{made['id']}", change), 422)

    def test_name_no_policy_and_no_customer_of_another_tenant(
        self, program: Program, other_tenant: Tenant
    ) -> None:
        theirs = program_of(other_tenant)
        policy = theirs.post("/policies", {"name": "calm"}).json()["id"]
        customer = theirs.post("/customers", {"reference": "x", "name": "X"}).json()["id"]
        for field, their_id in (
            ("policy_id", policy), ("owner_customer_id", customer),
            ("default_customer_id", customer),
        ):  # fmt: skip
            refused = program.post("/environments", {"name": "new", field: their_id})
            missing = program.post("/environments", {"name": "new", field: str(uuid4())})
            problem(refused, 404)
            assert refused.content == missing.content

    def test_are_removed_while_empty_and_retired_after_that(
        self, program: Program, tenant: Tenant
    ) -> None:
        made = program.post("/environments", {"name": "staging"}).json()
        address = f"/environments/{made['id']}"
        with tenant_scope(tenant.pk):
            host = Host.objects.create(name="web-1", environment_id=made["id"])
        refused = program.delete(address)
        problem(refused, 409)
        assert "1 host; retire it" in refused.json()["detail"]
        retired = program.post(f"{address}/retire", {"reason": "moved"})
        done(retired)
        assert retired.json()["retired_at"] is not None
        assert program.post(f"{address}/bring-back", {}).json()["retired_at"] is None
        with tenant_scope(tenant.pk):
            host.delete()
        assert program.delete(address).status_code == 204
        problem(program.get(address), 404)


class TestPolicies:
    def test_go_from_a_draft_to_a_share_of_the_hosts_and_back(
        self, program: Program, tenant: Tenant
    ) -> None:
        policy = program.post("/policies", {"name": "calm"}).json()
        versions = f"/policies/{policy['id']}/versions"
        terms = {"rules": [{"effect": "deny", "application": "miner*"}], "cpu_millicores": 500}
        made = program.post(versions, terms)
        done(made, 201)
        problem(program.post(versions, terms), 409)
        assert program.get("/policies").json()["data"][0]["draft_id"] == made.json()["id"]
        address = f"/policy-versions/{made.json()['id']}"
        replaced = program.put(address, {"memory_bytes": 2**30}).json()
        assert (replaced["cpu_millicores"], replaced["memory_bytes"], replaced["rules"]) == (
            None, 2**30, [],
        )  # fmt: skip
        problem(program.post(f"{address}/roll-out", {"rollout_percent": 10}), 409)
        done(program.post(f"{address}/publish", {"rollout_percent": 10, "reason": "trial"}))
        problem(program.put(address, {"memory_bytes": 1}), 409)
        problem(program.delete(address), 409)
        grown = program.post(f"{address}/roll-out", {"rollout_percent": 60}).json()
        assert grown["rollout_percent"] == 60
        assert program.post(f"{address}/roll-back", {}).json()["rolled_back_at"] is not None
        (listed,) = program.get(versions).json()["data"]
        assert (listed["number"], listed["published_by"]) == (1, "API key a program")
        assert program.patch(f"/policies/{policy['id']}", {"name": "calmer"}).status_code == 200

    def test_of_another_tenant_may_have_the_same_name(
        self, program: Program, other_tenant: Tenant
    ) -> None:
        for each in (program, program_of(other_tenant)):
            done(each.post("/policies", {"name": "calm"}), 201)
            problem(each.post("/policies", {"name": "calm"}), 409)
            assert len(each.get("/policies").json()["data"]) == 1

    @pytest.mark.parametrize(
        "terms",
        [
            {"cpu_millicores": 0}, {"rules": [{"effect": "maybe"}]}, {"rules": [{"host": "x"}]},
            {"minimum_agent_by": "2027-01-01T00:00:00Z"}, {"minimum_agent_version": "newest"},
            {"offline_grace_seconds": 299}, {"spend": 1}, {"users_max": 2**41},
        ],
    )  # fmt: skip
    def test_take_nothing_out_of_bounds(
        self, program: Program, tenant: Tenant, terms: dict[str, Any]
    ) -> None:
        policy = program.post("/policies", {"name": "calm"}).json()
        problem(program.post(f"/policies/{policy['id']}/versions", terms), 422)
        with tenant_scope(tenant.pk):
            assert not PolicyVersion.objects.exists()

    def test_take_effect_in_no_past(self, program: Program) -> None:
        policy = program.post("/policies", {"name": "calm"}).json()
        version = program.post(f"/policies/{policy['id']}/versions", {}).json()
        early = {"effective_from": "2020-01-01T00:00:00Z"}
        refused = program.post(f"/policy-versions/{version['id']}/publish", early)
        problem(refused, 409)
        assert "in the past" in refused.json()["detail"]

    @pytest.mark.parametrize("scope", ["policies:read", "environments:read"])
    def test_are_read_by_keys_that_may(self, tenant: Tenant, scope: str) -> None:
        reader = program_of(tenant, [scope])
        assert reader.get("/policies").status_code == (200 if "policies" in scope else 403)
        problem(reader.post("/policies", {"name": "calm"}), 403)
        problem(reader.post("/environments", {"name": "new"}), 403)
