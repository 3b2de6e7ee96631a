"""Which version holds for a host, and who may run what: the pure rules."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.core.policies import (
    Difference,
    Rule,
    differences,
    matches,
    may_run,
    rules_reason,
    share_of_host,
    version_for,
)

DAY = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Version:
    number: int
    effective_from: datetime | None = DAY
    rollout_percent: int = 100
    rolled_back_at: datetime | None = None


class TestTheVersionOfAHost:
    def test_is_the_newest_in_effect(self) -> None:
        first, second = Version(1), Version(2, DAY + timedelta(days=2))
        host = uuid4()
        assert version_for([second, first], host, as_of=DAY - timedelta(seconds=1)) is None
        assert version_for([second, first], host, as_of=DAY) == first
        assert version_for([first, second], host, as_of=DAY + timedelta(days=2)) == second

    def test_is_the_one_before_for_hosts_outside_the_share(self) -> None:
        first, second = Version(1), Version(2, rollout_percent=30)
        for number in range(300):
            host = UUID(int=number)
            wanted = second if share_of_host(host) < 30 else first
            assert version_for([first, second], host, as_of=DAY) == wanted

    def test_is_not_one_that_was_taken_back(self) -> None:
        first, second = Version(1), Version(2, rolled_back_at=DAY)
        assert version_for([first, second], uuid4(), as_of=DAY) == first

    def test_without_a_host_is_one_that_holds_for_all(self) -> None:
        first, second = Version(1), Version(2, rollout_percent=99)
        assert version_for([first, second], None, as_of=DAY) == first

    @given(st.uuids(), st.integers(0, 99), st.integers(0, 100))
    def test_stays_while_the_share_grows(self, host: UUID, share: int, more: int) -> None:
        before = version_for([Version(1, rollout_percent=share)], host, as_of=DAY)
        after = version_for([Version(1, rollout_percent=min(share + more, 100))], host, as_of=DAY)
        assert before is None or after is not None

    def test_comes_to_about_the_share_of_many_hosts(self) -> None:
        within = sum(share_of_host(UUID(int=number)) < 20 for number in range(10_000))
        assert 1_800 < within < 2_200


class TestAPattern:
    @given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
    def test_matches_as_shells_do(self, pattern: str, name: str) -> None:
        assert matches(pattern, name) == (not pattern or fnmatchcase(name, pattern))

    def test_takes_no_other_signs_for_wildcards(self) -> None:
        assert matches("a[b]?", "a[b]?")
        assert not matches("a[b]?", "abc")


class TestRules:
    RULES = (
        Rule("deny", application="miner*"),
        Rule("allow", application="shop", customer="acme"),
        Rule("deny", application="shop", environment="production"),
    )

    @pytest.mark.parametrize(
        ("application", "environment", "customer", "expected"),
        [
            ("miner-7", "staging", "acme", False),
            ("shop", "production", "acme", True),
            ("shop", "production", "rival", False),
            ("shop", "staging", "", True),
            ("blog", "production", "", True),
        ],
    )
    def test_decide_by_the_first_that_fits(
        self, application: str, environment: str, customer: str, expected: bool
    ) -> None:
        assert expected == may_run(
            self.RULES, application=application, environment=environment, customer=customer
        )

    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            ({}, "must be a list"),
            ([{"effect": "deny"}] * 201, "at most 200"),
            (["deny"], "rule 1: must read as"),
            ([{"effect": "deny"}, {"application": "x"}], "rule 2: effect must be"),
            ([{"effect": "deny", "host": "x"}], "host is not known"),
            ([{"effect": "deny", "application": 7}], "must be text"),
            ([{"effect": "deny", "application": "x" * 201}], "at most 200 characters"),
            ([{"effect": "deny", "application": "a\nb"}], "control characters"),
        ],
    )
    def test_say_what_is_wrong_with_them(self, rules: Any, reason: str) -> None:
        assert reason in rules_reason(rules)

    def test_may_be_all_that_is_known(self) -> None:
        rule = {"effect": "allow", "application": "a", "environment": "b", "customer": "c"}
        assert rules_reason([rule, {"effect": "deny"}]) == ""


def test_differences_name_what_changes_alone() -> None:
    before = {"cpu_millicores": 500, "enforced": False}
    after = {"cpu_millicores": 700, "enforced": False, "users_max": 3}
    changed = Difference("cpu_millicores", 500, 700), Difference("users_max", None, 3)
    assert differences(before, after) == changed
    assert differences(None, {"users_max": None}) == ()
