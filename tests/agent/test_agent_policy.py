"""A policy's version at the agent: limits that the kernel holds, the grace, and what is told."""

import json
from pathlib import Path

import pytest
from hostmeter_agent.cgroup.limits import Holding, release_former, written
from hostmeter_agent.config import Limits
from hostmeter_agent.install.doctor_delivery import policy as policy_finding
from hostmeter_agent.install.findings import Place
from hostmeter_agent.server.desired import NOTE, DesiredInvalid, effective, objections
from hostmeter_agent.server.grace import NOTE as REFRESHED
from hostmeter_agent.server.grace import note_refreshed, overdue

from tests.agent.test_agent_control import WISHES, config, desired
from tests.agent.test_agent_delivery import Host, contract, host, now, url

__all__ = ["contract", "host", "now", "url"]

LIMITS = {"enforced": True, "cpu_millicores": 1_500, "memory_bytes": 2**30, "processes": 40}


def policy(**members: object) -> dict[str, object]:
    return {"own_cgroups": True, "version": "calm 2", "limits": LIMITS} | members


class TestLimits:
    def test_are_wanted_where_the_policy_is_enforced_in_cgroups_of_the_agents_own(self) -> None:
        got = effective(config(), desired(policy=policy()))
        assert got.limits == Limits(1_500, 2**30, 40)

    @pytest.mark.parametrize(
        ("text", "members"),
        [
            ("", {"own_cgroups": None}),
            ("own_cgroups = false", {}),
            ("", {"limits": LIMITS | {"enforced": False}}),
            ("", {"limits": {"enforced": True}}),
            ("", {"limits": None}),
        ],
    )
    def test_are_only_observed_anywhere_else(self, text: str, members: dict[str, object]) -> None:
        assert effective(config(text), desired(policy=policy(**members))).limits is None

    def test_that_cannot_be_held_are_told_of(self) -> None:
        wish = desired(policy=policy(own_cgroups=None))
        assert "limits are not held" in objections(config(), wish, is_too_old=False)[0]
        assert objections(config(), desired(policy=policy()), is_too_old=False) == []

    @pytest.mark.parametrize(
        "members",
        [
            {"version": "x" * 141},
            {"version": "calm\n2"},
            {"version": 2},
            {"offline_grace_seconds": 0},
            {"offline_grace_seconds": True},
            {"limits": {"enforced": "yes"}},
            {"limits": {"enforced": True, "cpu_millicores": 0}},
            {"limits": {"enforced": True, "memory_bytes": 2**50 + 1}},
            {"limits": {"enforced": True, "processes": 1.5}},
            {"limits": []},
        ],
    )
    def test_out_of_bounds_are_refused(self, members: dict[str, object]) -> None:
        with pytest.raises(DesiredInvalid):
            desired(policy=policy(**members))


def cgroup(root: Path, name: str) -> Path:
    """A cgroup with its files as the kernel makes them."""
    folder = root / name
    folder.mkdir(parents=True)
    for file, value in written(None).items():
        (folder / file).write_text(value + "\n")
    return folder


def values(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text().strip() for name in written(None)}


class TestHolding:
    def test_writes_the_kernels_own_terms(self) -> None:
        assert written(Limits(1_500, 2**30, 40)) == {
            "cpu.max": "150000 100000", "memory.high": "1073741824", "pids.max": "40",
        }  # fmt: skip
        assert written(Limits(cpu_millicores=1))["cpu.max"] == "1000 100000"

    def test_takes_back_what_is_no_longer_wanted(self, tmp_path: Path) -> None:
        shop = cgroup(tmp_path, "shop")
        (tmp_path / "cgroup.subtree_control").write_text("")
        holding = Holding(tmp_path)
        holding.hold([str(shop)], Limits(processes=40))
        assert values(shop)["pids.max"] == "40"
        assert holding.in_words == "held for 1 applications"
        holding.hold([str(shop)], None)
        assert values(shop) == written(None)

    def test_takes_back_what_a_former_run_has_left(self, tmp_path: Path) -> None:
        shop = cgroup(tmp_path, "shop")
        (shop / "pids.max").write_text("40\n")
        release_former(tmp_path)
        assert values(shop) == written(None)
        release_former(tmp_path / "none")

    def test_says_what_the_hierarchy_cannot_hold(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = tmp_path / "shop"
        shop.mkdir()
        (tmp_path / "cgroup.subtree_control").mkdir()
        holding = Holding(tmp_path)
        for _ in range(2):
            holding.hold([str(shop)], Limits(cpu_millicores=500))
        assert "cpu.max cannot be written: No such file" in holding.in_words
        assert sum("cpu.max" in record.message for record in caplog.records) == 1
        holding.hold([], None)
        assert list(shop.iterdir()) == []


class TestGrace:
    def test_is_over_when_the_policy_could_not_be_refreshed_for_longer(self, host: Host) -> None:
        body = json.dumps(WISHES | {"policy": policy(offline_grace_seconds=600)})
        host.spool.take_notes({NOTE: {"etag": '"a"', "body": body}})
        note_refreshed(host.spool, 1_000.0)
        assert overdue(host.spool, 1_600.0) == ""
        assert "calm 2 was not refreshed for 601 s, its grace is 600 s" in overdue(
            host.spool, 1_601.0
        )
        note_refreshed(host.spool, 1_601.0)
        assert overdue(host.spool, 1_700.0) == ""

    def test_costs_no_write_for_each_question(self, host: Host) -> None:
        body = json.dumps(WISHES | {"policy": policy(offline_grace_seconds=86_400)})
        host.spool.take_notes({NOTE: {"etag": '"a"', "body": body}})
        for at in (1_000.0, 1_060.0, 1_599.0):
            note_refreshed(host.spool, at)
        assert host.spool.note(REFRESHED) == {"at": 1_000}

    def test_without_one_is_never_over(self, host: Host) -> None:
        host.spool.take_notes({NOTE: {"etag": '"a"', "body": json.dumps(WISHES)}})
        note_refreshed(host.spool, 1_000.0)
        assert overdue(host.spool, 10.0**9) == ""


class TestTheDoctor:
    def test_tells_that_the_agent_is_too_old_and_still_taken(self, host: Host) -> None:
        minimum = {"version": "99.0", "by": "2026-12-01T00:00:00+00:00"}
        body = json.dumps(WISHES | {"policy": policy(), "minimum_agent_version": minimum})
        host.spool.take_notes({NOTE: {"etag": '"a"', "body": body}})
        found = policy_finding(Place(host.state.path))
        assert found.quality == "unavailable"
        assert "older than 99.0, wanted by 2026-12-01" in found.reason
        assert "still taken" in found.reason
        assert "newer hostmeter-agent" in found.remedy

    def test_names_the_version_that_holds(self, host: Host) -> None:
        assert "not said anything" in policy_finding(Place(host.state.path)).reason
        body = json.dumps(WISHES | {"policy": policy()})
        host.spool.take_notes({NOTE: {"etag": '"a"', "body": body}})
        assert policy_finding(Place(host.state.path)).reason == "calm 2"
