"""The desired state that hosts fetch, what they report, and how far their clocks are off."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from hostmeter_agent.wire_control import APPLIED_STATE_PATH, DESIRED_STATE_PATH

from metering.control import decode_report, note_applied
from metering.control_models import AgentSettings, AppliedState
from metering.known_hosts import known_hosts
from metering.models import Host, HostEnvironment
from tenants.models import Environment, Policy, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import COVERED, Agent, Answer, batch
from tests.metering.test_host_keys import rotate


def fetched(agent: Agent, tag: str = "") -> Answer:
    return agent.ask("GET", DESIRED_STATE_PATH, tag=tag)


def settle(agent: Agent, **changes: Any) -> None:
    """Settings for the agent's host, its environment (`scope="environment"`) or the tenant."""
    scope = changes.pop("scope", "host")
    with tenant_scope(agent.tenant.pk):
        host = Host.objects.get(pk=agent.host)
        AgentSettings.objects.create(
            host=host if scope == "host" else None,
            environment=host.environment if scope == "environment" else None,
            **changes,
        )


def report(**changes: Any) -> dict[str, Any]:
    return {
        "etag": '"abc"',
        "refused": False,
        "agent_version": "0.2.0",
        "errors": [],
        "probes": {"network": "eBPF, 12 cgroups"},
        "applied_at": "2026-03-01T12:00:00Z",
    } | changes


class TestDesiredState:
    def test_says_what_holds_without_any_settings(self, agent: Agent) -> None:
        answer = fetched(agent)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"
        assert answer.json() == {
            "schema": 1,
            "environments": ["production"],
            "policy": {"own_cgroups": None},
            "scrape_interval_seconds": None,
            "key_rotation_days": None,
            "minimum_agent_version": None,
            "probes_off": [],
            "application": [],
        }

    def test_is_not_sent_again_while_it_is_the_same(self, agent: Agent) -> None:
        tag = fetched(agent)["ETag"]
        for known in (tag, f'"other", W/{tag}'):
            again = fetched(agent, known)
            assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
        settle(agent, scrape_interval_seconds=30)
        changed = fetched(agent, tag)
        assert (changed.status_code, changed["ETag"] != tag) == (200, True)
        assert changed.json()["scrape_interval_seconds"] == 30

    def test_lets_the_narrower_scope_win_and_adds_rules_and_restrictions_up(
        self, agent: Agent
    ) -> None:
        settle(
            agent, scope="tenant", scrape_interval_seconds=60, own_cgroups=True,
            probes_off=["users"], minimum_agent_version="1.0", rules=[{"name": "t", "user": "t"}],
        )  # fmt: skip
        settle(
            agent, scope="environment", scrape_interval_seconds=30, probes_off=["network"],
            key_rotation_days=30, rules=[{"name": "e", "user": "e"}],
        )  # fmt: skip
        settle(
            agent, scrape_interval_seconds=20, own_cgroups=False,
            minimum_agent_version="0.9", minimum_version_by=datetime(2027, 1, 1, tzinfo=UTC),
            rules=[{"name": "h", "process": "h*"}],
        )  # fmt: skip
        state = fetched(agent).json()
        assert state["scrape_interval_seconds"] == 20
        assert state["policy"] == {"own_cgroups": False}
        assert state["probes_off"] == ["network", "users"]
        assert state["key_rotation_days"] == 30
        assert state["minimum_agent_version"] == {
            "version": "0.9", "by": "2027-01-01T00:00:00+00:00",
        }  # fmt: skip
        assert [rule["name"] for rule in state["application"]] == ["h", "e", "t"]

    @pytest.mark.parametrize(("seconds", "expected"), [(15, 15), (300, None), (7, None)])
    def test_takes_the_policys_interval_where_agents_can(
        self, agent: Agent, seconds: int, expected: int | None
    ) -> None:
        with tenant_scope(agent.tenant.pk):
            policy = Policy.objects.create(name="slow", scrape_interval_seconds=seconds)
            Environment.objects.update(policy=policy)
        assert fetched(agent).json()["scrape_interval_seconds"] == expected

    def test_names_the_environments_that_the_host_may_use(self, agent: Agent) -> None:
        with tenant_scope(agent.tenant.pk):
            host = Host.objects.get(pk=agent.host)
            for name in ("staging", "archive"):
                HostEnvironment.objects.create(
                    host=host, environment=Environment.objects.create(name=name)
                )
        assert fetched(agent).json()["environments"] == ["production", "archive", "staging"]

    def test_is_for_who_signs(self, agent: Agent) -> None:
        headers = agent.signed(b"", method="POST", path=DESIRED_STATE_PATH)
        assert agent.ask("GET", DESIRED_STATE_PATH, created=0).status_code == 401
        assert Client().get(DESIRED_STATE_PATH, headers=headers).status_code == 401
        assert Client().get(DESIRED_STATE_PATH).status_code == 401
        assert agent.ask("POST", DESIRED_STATE_PATH).status_code == 405


class TestSettings:
    @pytest.mark.parametrize(
        "changes",
        [
            {"scrape_interval_seconds": 7},
            {"scrape_interval_seconds": 100},
            {"rules": [{"name": "mail"}]},
            {"rules": [{"name": "kernel", "process": "x"}]},
            {"rules": [{"name": "mail", "command": "("}]},
            {"rules": [{"name": "mail", "command": "(a+)+$"}]},
            {"rules": [{"name": "mail", "command": ".*a.*b.*c"}]},
            {"rules": [{"name": "mail", "command": r"(a)\1"}]},
            {"rules": [{"name": "mail", "process": "x", "log": "/etc/shadow"}]},
            {"rules": [{"name": "mail", "process": "x\n"}]},
            {"rules": {"name": "mail"}},
            {"rules": [{"name": f"a{i}", "user": "u"} for i in range(201)]},
            {"probes_off": "network"},
            {"probes_off": ["Network; rm"]},
            {"key_rotation_days": 0},
            {"minimum_agent_version": "newest"},
            {"minimum_version_by": datetime(2027, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_refuse_what_an_agent_would(self, inside: None, changes: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            AgentSettings(**changes).full_clean()

    @pytest.mark.parametrize(
        "rule",
        [
            {"name": "mail", "process": "postfix*"},
            {"name": "mail", "executable": "/usr/lib/*", "user": "postfix"},
            {"name": "mail", "command": r"--queue=mail[0-9]+ .*\.conf"},
            {"name": "mail", "command": r"[(]x[*][+][+][+]"},
        ],
    )
    def test_take_rules_as_agents_do(self, inside: None, rule: dict[str, str]) -> None:
        AgentSettings(rules=[rule]).full_clean()

    def test_stand_once_for_a_scope_and_for_one_scope(self, agent: Agent) -> None:
        settle(agent, scope="tenant")
        with tenant_scope(agent.tenant.pk):
            with pytest.raises(ValidationError, match="settings for these hosts already"):
                AgentSettings().full_clean()
            host = Host.objects.get(pk=agent.host)
            with pytest.raises(ValidationError, match="not both"):
                AgentSettings(host=host, environment=host.environment).full_clean()


class TestReports:
    def test_are_kept_as_the_host_made_them_last(self, agent: Agent) -> None:
        assert agent.ask("PUT", APPLIED_STATE_PATH, report()).status_code == 204
        changed = report(refused=True, errors=["rule 1: name is missing"])
        assert agent.ask("PUT", APPLIED_STATE_PATH, changed).status_code == 204
        with tenant_scope(agent.tenant.pk):
            kept = AppliedState.objects.get()
        assert (kept.etag, kept.refused, kept.agent_version) == ('"abc"', True, "0.2.0")
        assert kept.errors == ["rule 1: name is missing"]
        assert kept.probes == {"network": "eBPF, 12 cgroups"}
        assert kept.applied_at == datetime(2026, 3, 1, 12, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"etag": "x" * 81}, "etag"),
            ({"etag": None}, "etag"),
            ({"refused": 0}, "refused"),
            ({"agent_version": ""}, "agent_version"),
            ({"agent_version": "1\x00"}, "agent_version"),
            ({"errors": ["x"] * 51}, "errors"),
            ({"errors": ["x" * 501]}, "errors"),
            ({"errors": ["\x00"]}, "errors"),
            ({"probes": {"Net work": "x"}}, "probes"),
            ({"probes": {"network": 1}}, "probes"),
            ({"applied_at": "yesterday"}, "applied_at"),
        ],
    )
    def test_keep_their_bounds(self, agent: Agent, changes: dict[str, Any], field: str) -> None:
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(**changes))
        assert answer.status_code == 422
        assert {error["field"] for error in answer.json()["errors"]} == {field}

    @pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
    def test_lie_inside_the_calendar(self, agent: Agent, at: str) -> None:
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(applied_at=at))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "applied_at"

    def test_that_were_slow_to_come_leave_a_later_one_alone(self, agent: Agent) -> None:
        """Its body took its time, and the host has asked again meanwhile."""
        now = datetime.now(UTC)
        host = known_hosts.host_of(agent.key_id, as_of=now)
        assert host is not None
        for version, age_s in (("0.3.0", 0), ("0.2.0", 5)):
            body = json.dumps(report(agent_version=version)).encode()
            as_of = now - timedelta(seconds=age_s)
            note_applied(host, decode_report(body), skew_ms=age_s, as_of=as_of)
        with tenant_scope(agent.tenant.pk):
            kept = AppliedState.objects.get()
            assert (kept.agent_version, kept.reported_at) == ("0.3.0", now)
            assert Host.objects.get(pk=agent.host).clock_skew_ms == 0

    def test_have_a_size(self, agent: Agent) -> None:
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(more="x" * 70_000))
        assert answer.status_code == 413


class TestClocks:
    def skew_ms(self, agent: Agent) -> int:
        with tenant_scope(agent.tenant.pk):
            skew = Host.objects.get(pk=agent.host).clock_skew_ms
        assert skew is not None
        return skew

    @pytest.mark.parametrize("ahead_ms", [-90_000, 0, 42_000])
    def test_are_compared_at_a_push_by_the_signed_header(self, agent: Agent, ahead_ms: int) -> None:
        shown = int(datetime.now(UTC).timestamp() * 1_000) + ahead_ms
        content = self.body()
        headers = agent.signed(
            content, covered=(*COVERED, "hostmeter-time"), created=shown / 1_000, time=str(shown)
        )
        assert agent.post(content, headers | {"Hostmeter-Time": str(shown)}).status_code == 200
        assert abs(self.skew_ms(agent) - ahead_ms) < 500

    def test_are_compared_by_the_second_where_nothing_finer_is_signed(self, agent: Agent) -> None:
        created = datetime.now(UTC).timestamp() - 60
        content = self.body()
        headers = agent.signed(content, created=created)
        assert agent.post(content, headers | {"Hostmeter-Time": "1"}).status_code == 200
        assert abs(self.skew_ms(agent) + 60_000) < 1_500

    def test_are_compared_when_a_host_reports(self, agent: Agent) -> None:
        created = datetime.now(UTC).timestamp() + 30
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(), created=created)
        assert answer.status_code == 204
        assert abs(self.skew_ms(agent) - 30_000) < 1_500

    def body(self) -> bytes:
        return json.dumps(batch()).encode()


class TestIsolation:
    def test_a_key_of_another_tenant_replaces_none_here(
        self, agent: Agent, other_tenant: Tenant
    ) -> None:
        theirs = Agent(other_tenant).enrol()
        elsewhere = theirs.key_id.replace(other_tenant.pk.hex, agent.tenant.pk.hex)
        posing = Agent(agent.tenant, theirs.key, elsewhere, agent.host)
        _, answer = rotate(posing)
        assert answer.status_code == 401
        after, answer = rotate(theirs)
        assert answer.status_code == 201
        assert after.key_id.startswith(other_tenant.pk.hex)

    def test_settings_of_another_tenant_change_nothing_here(
        self, agent: Agent, other_tenant: Tenant
    ) -> None:
        before = fetched(agent)
        theirs = Agent(other_tenant).enrol()
        settle(theirs, scope="tenant", probes_off=["network"])
        assert fetched(agent).content == before.content
        assert fetched(theirs).json()["probes_off"] == ["network"]

    def test_a_report_is_kept_with_its_own_host(self, agent: Agent, other_tenant: Tenant) -> None:
        neighbour = Agent(agent.tenant).enrol()
        theirs = Agent(other_tenant).enrol()
        for one in (neighbour, theirs):
            assert one.ask("PUT", APPLIED_STATE_PATH, report(etag="theirs")).status_code == 204
        assert agent.ask("PUT", APPLIED_STATE_PATH, report()).status_code == 204
        with tenant_scope(agent.tenant.pk):
            kept = {str(row.host_id): row.etag for row in AppliedState.objects.all()}
        assert kept == {agent.host: '"abc"', neighbour.host: "theirs"}
