"""How samples were measured: what a batch may say of it, and what is kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from metering.models import Measurement, Sample
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, sample
from tests.metering.test_ingest import accepted, errors, nothing_stored

EXACT = {"meters": {"cpu.time": ["exact", "cgroup/2"], "memory.used": ["sampled", "proc/1"]}}


def measured_by(profile: Any, usage: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """A batch of one sample that names the profile."""
    used = {"cpu.time": 1} if usage is None else usage
    return batch(sample(usage=used, measured="a"), measurements={"a": profile}, **more)


def bodies(tenant: Tenant) -> list[dict[str, Any]]:
    with tenant_scope(tenant.pk):
        return list(Measurement.objects.values_list("body", flat=True))


class TestAProfile:
    @pytest.mark.parametrize(
        "profile",
        [
            {},
            EXACT,
            {"meters": {}, "marks": []},
            {"meters": {"x" * 64: ["lower_bound", "a" * 64], "b": ["estimated", "._/-9z"]}},
            {"meters": {f"m{number}": ["unavailable", "ebpf/1"] for number in range(64)}},
            {"gap": "agent-stopped", "marks": ["clock-step"] * 16},
            {"gap": None, "note": "ignored"},
        ],
    )
    def test_of_the_contract_is_taken(self, agent: Agent, profile: dict[str, Any]) -> None:
        accepted(agent.deliver(measured_by(profile)))
        (stored,) = bodies(agent.tenant)
        assert stored.get("meters", {}) == profile.get("meters", {})
        assert stored.get("gap") == profile.get("gap")
        assert stored.get("marks", []) == sorted(set(profile.get("marks", [])))

    @pytest.mark.parametrize(
        ("profile", "field"),
        [
            ([], ""),
            (None, ""),
            ({"gap": "Agent stopped"}, ".gap"),
            ({"gap": ""}, ".gap"),
            ({"gap": "a\n"}, ".gap"),
            ({"gap": "a" * 65}, ".gap"),
            ({"gap": 1}, ".gap"),
            ({"marks": "clock-step"}, ".marks"),
            ({"marks": None}, ".marks"),
            ({"marks": ["a_b"]}, ".marks"),
            ({"marks": ["a"] * 17}, ".marks"),
            ({"meters": []}, ".meters"),
            ({"meters": {f"m{number}": ["exact", "a"] for number in range(65)}}, ".meters"),
            ({"meters": {"CPU": ["exact", "a"]}}, ".meters.CPU"),
            ({"meters": {"cpu.time": "exact"}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["exact"]}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["exact", "a", "b"]}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["good", "a"]}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["exact", ""]}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["exact", "a" * 65]}}, ".meters.cpu.time"),
            ({"meters": {"cpu.time": ["exact", "A/1"]}}, ".meters.cpu.time"),
        ],
    )
    def test_out_of_contract_is_named(self, agent: Agent, profile: Any, field: str) -> None:
        assert errors(agent.deliver(measured_by(profile))) == [(None, f"measurements.a{field}")]
        assert nothing_stored(agent)
        assert bodies(agent.tenant) == []

    @pytest.mark.parametrize("key", ["", "A", "a-b", "a" * 17, "é", "a\n"])
    def test_has_a_key_of_the_contract(self, agent: Agent, key: str) -> None:
        document = batch(sample(), measurements={key: {}})
        assert errors(agent.deliver(document)) == [(None, f"measurements.{key}")]

    def test_is_one_of_a_thousand_at_most(self, agent: Agent) -> None:
        profiles: dict[str, Any] = {str(number): {} for number in range(1_001)}
        assert errors(agent.deliver(batch(measurements=profiles))) == [(None, "measurements")]
        del profiles["0"]
        accepted(agent.deliver(batch(measurements=profiles)))

    @pytest.mark.parametrize("profiles", [[], None, "a"])
    def test_stands_in_an_object(self, agent: Agent, profiles: Any) -> None:
        assert errors(agent.deliver(batch(measurements=profiles))) == [(None, "measurements")]


class TestASample:
    @pytest.mark.parametrize("key", ["b", "", 1, ["a"]])
    def test_names_a_profile_of_its_batch(self, agent: Agent, key: Any) -> None:
        document = batch(sample(measured="a"), sample(measured=key), measurements={"a": {}})
        assert errors(agent.deliver(document)) == [(1, "measured")]

    def test_names_none_of_another_batch(self, agent: Agent) -> None:
        accepted(agent.deliver(measured_by(EXACT)))
        assert errors(agent.deliver(batch(sample(measured="a")))) == [(0, "measured")]

    def test_may_leave_it_out(self, agent: Agent) -> None:
        document = batch(sample(), sample(measured=None), measurements={"a": EXACT})
        accepted(agent.deliver(document))
        with tenant_scope(agent.tenant.pk):
            assert set(Sample.objects.values_list("measurement_id", flat=True)) == {None}
        assert bodies(agent.tenant) == []

    @pytest.mark.parametrize("meter", ["network.sent", "gpu.time", "memory.used.max", "gpu.max"])
    def test_has_no_usage_of_what_was_unavailable(self, agent: Agent, meter: str) -> None:
        gauge = meter.removesuffix(".max")
        profile = {"meters": {gauge: ["unavailable", "ebpf/1"], "threads": ["exact", "a"]}}
        assert errors(agent.deliver(measured_by(profile, {"threads": 1, meter: 0}))) == [
            (0, f"usage.{meter}")
        ]
        others = batch(
            sample(usage={"threads": 1, meter: 5}),
            sample(usage={"threads": 1}, measured="a"),
            measurements={"a": profile},
        )
        accepted(agent.deliver(others))

    def test_of_a_maximum_may_be_stated_apart_from_its_gauge(self, agent: Agent) -> None:
        profile = {"meters": {"threads": ["unavailable", "a"], "threads.max": ["exact", "b"]}}
        accepted(agent.deliver(measured_by(profile, {"threads.max": 1})))


class TestStoredProfiles:
    def test_are_kept_once_whatever_their_key(self, agent: Agent) -> None:
        shuffled = {"marks": [], "meters": dict(reversed(EXACT["meters"].items()))}
        document = batch(
            sample(measured="a"),
            sample(measured="zz9"),
            sample(measured="b"),
            sample(),
            measurements={"a": EXACT, "zz9": shuffled, "b": {"gap": "host-down"}},
        )
        accepted(agent.deliver(document))
        accepted(agent.deliver(measured_by(EXACT)))
        with tenant_scope(agent.tenant.pk):
            named = [
                None if row.measurement is None else row.measurement.body
                for row in Sample.objects.select_related("measurement", "batch").order_by(
                    "batch__received_at", "batch_index"
                )
            ]
        assert named == [EXACT, EXACT, {"gap": "host-down"}, None, EXACT]
        assert len(bodies(agent.tenant)) == 2

    def test_are_found_again_by_another_process_and_another_host(self, agent: Agent) -> None:
        accepted(agent.deliver(measured_by(EXACT)))
        accepted(Agent(agent.tenant).enrol().deliver(measured_by(EXACT)))
        assert bodies(agent.tenant) == [EXACT]

    def test_of_a_batch_that_is_refused_are_neither_kept_nor_remembered(self, agent: Agent) -> None:
        first = batch()
        accepted(agent.deliver(first))
        taken = measured_by(EXACT, epoch=first["epoch"])
        assert agent.deliver(taken).status_code == 409
        assert bodies(agent.tenant) == []
        accepted(agent.deliver(measured_by(EXACT, epoch=first["epoch"], sequence=2)))
        assert bodies(agent.tenant) == [EXACT]

    def test_are_so_many_a_host_at_most(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("metering.ingest.PROFILES_PER_HOST_MAX", 2)
        for cause in ("one", "two"):
            accepted(agent.deliver(measured_by({"gap": cause})))
        assert errors(agent.deliver(measured_by({"gap": "three"}))) == [(None, "measurements")]
        assert len(bodies(agent.tenant)) == 2
        # What there is may be named on, and other hosts are none the worse.
        accepted(agent.deliver(measured_by({"gap": "two"})))
        another = Agent(agent.tenant).enrol()
        accepted(another.deliver(measured_by({"gap": "three"})))
        accepted(agent.deliver(measured_by({"gap": "three"})))

    def test_are_each_tenants_own(self, agent: Agent, other_tenant: Tenant) -> None:
        accepted(agent.deliver(measured_by(EXACT)))
        assert bodies(other_tenant) == []
        accepted(Agent(other_tenant).enrol().deliver(measured_by(EXACT)))
        assert (len(bodies(agent.tenant)), len(bodies(other_tenant))) == (1, 1)


def test_the_example_that_both_sides_share_is_taken(agent: Agent) -> None:
    """tests/agent/test_agent_golden.py has the agent write this file."""
    example = Path(__file__).parent.parent / "golden" / "batch-with-measurements.json"
    document = json.loads(example.read_text())
    window = sample()["window"]
    for each in document["samples"]:
        each["window"] = window
    accepted(agent.deliver(document))
    with tenant_scope(agent.tenant.pk):
        rows = Sample.objects.select_related("measurement").order_by("batch_index")
        named = [row.measurement.body if row.measurement else None for row in rows]
    # What is empty says nothing and is not kept.
    profiles = {
        key: {member: value for member, value in profile.items() if value}
        for key, profile in document["measurements"].items()
    }
    assert named == [
        profiles[each["measured"]] if "measured" in each else None for each in document["samples"]
    ]
