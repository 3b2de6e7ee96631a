"""The server's wishes reach the agent, within the bounds of its file, and it says what it did."""

import json
import re
from pathlib import Path

import pytest
from hostmeter_agent import __version__
from hostmeter_agent.config import Config, parse_config
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.clocks import ClockWatch, skew_seconds
from hostmeter_agent.server.control import FETCH_SECONDS, Control
from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.server.desired import Desired, DesiredInvalid, effective, parse_desired
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.wire_control import costly_reason, version_of

from tests.agent.test_agent_command import agent
from tests.agent.test_agent_delivery import Host, contract, host, now, url

__all__ = ["contract", "host", "now", "url"]

WISHES: dict[str, object] = {
    "schema": 1,
    "environments": ["production", "staging"],
    "policy": {"own_cgroups": True},
    "scrape_interval_seconds": 30,
    "key_rotation_days": 30,
    "minimum_agent_version": None,
    "probes_off": ["network"],
    "application": [{"name": "mail", "process": "postfix*", "command": "--queue=[a-z]+"}],
}


def config(text: str = "") -> Config:
    return parse_config(Path("agent.toml"), text)


def desired(**changes: object) -> Desired:
    return parse_desired(json.dumps(WISHES | changes).encode())


class Agent:
    """Notes what it is to do."""

    def __init__(self, host: Host, text: str = "") -> None:
        self.applied: list[Config] = []
        channel = Channel(
            parse_server(host.identity.server), Keyring(host.spool, host.state, host.identity)
        )
        states = {"network": "on", "users": "off"}
        self.control = Control(channel, config(text), self.applied.append, lambda: states)

    def step(self, now: float) -> None:
        self.control.due_at = 0.0
        self.control.step(now)


class TestWishes:
    def test_fill_in_what_the_file_leaves_out(self) -> None:
        got = effective(config(), desired())
        assert got.interval_seconds == 30
        assert got.key_rotation_days == 30
        assert got.own_cgroups
        assert got.probes_off == {"network"}
        assert [rule.name for rule in got.rules] == ["mail"]
        assert got.rules[0].command is not None
        assert got.rules[0].command.search("smtpd --queue=in")

    def test_yield_to_what_the_file_states(self) -> None:
        text = 'interval_seconds = 10\nkey_rotation_days = 90\n[[application]]\nname = "own"\n'
        got = effective(config(text + 'process = "postfix*"\n'), desired())
        assert (got.interval_seconds, got.key_rotation_days) == (10, 90)
        assert [rule.name for rule in got.rules] == ["own", "mail"]

    @pytest.mark.parametrize(
        ("text", "wish", "allowed"),
        [
            ("", None, False),
            ("", True, True),
            ("", False, False),
            ("own_cgroups = true", None, True),
            ("own_cgroups = true", False, False),
            ("own_cgroups = false", True, False),
        ],
    )
    def test_never_lift_a_restriction(self, text: str, wish: bool | None, allowed: bool) -> None:
        got = effective(config(text), desired(policy={"own_cgroups": wish}))
        assert got.own_cgroups == allowed
        off = effective(config('probes_off = ["users"]'), desired())
        assert off.probes_off == {"network", "users"}

    def test_leave_an_agent_without_them_as_its_file_says(self) -> None:
        assert effective(config("interval_seconds = 5"), None).interval_seconds == 5

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"schema": 2}, "schema"),
            ({"scrape_interval_seconds": 7}, "scrape_interval_seconds"),
            ({"scrape_interval_seconds": 0}, "scrape_interval_seconds"),
            ({"scrape_interval_seconds": "10"}, "scrape_interval_seconds"),
            ({"scrape_interval_seconds": True}, "scrape_interval_seconds"),
            ({"key_rotation_days": 0}, "key_rotation_days"),
            ({"key_rotation_days": 4_000}, "key_rotation_days"),
            ({"policy": []}, "policy"),
            ({"policy": {"own_cgroups": "yes"}}, "own_cgroups"),
            ({"environments": ["a\n"]}, "environments"),
            ({"environments": [1]}, "environments"),
            ({"probes_off": ["../x"]}, "probes_off"),
            ({"probes_off": ["a"] * 51}, "probes_off"),
            ({"minimum_agent_version": {"version": "1; rm -rf"}}, "minimum_agent_version"),
            ({"minimum_agent_version": {"version": "1", "by": 5}}, "minimum_agent_version"),
            ({"application": {"name": "a"}}, "must be a list"),
            ({"application": [{"name": "a", "run": "/bin/sh"}]}, "rule 1: run is not known"),
            ({"application": [{"name": "a", "log": "/etc/shadow"}]}, "log is not known"),
            ({"application": [{"name": "kernel", "user": "x"}]}, "the agent itself uses"),
            ({"application": [{"name": "a"}]}, "needs one of"),
            ({"application": [{"process": "a"}]}, "name is missing"),
            ({"application": [{"name": "a", "command": "["}]}, "not a regular expression"),
            ({"application": [{"name": "a", "command": "(x+x+)+y"}]}, "repeat a group"),
            ({"application": [{"name": "a", "command": "x" * 201}]}, "200 characters"),
            ({"application": [{"name": "a", "user": "x"}] * 201}, "at most 200"),
        ],
    )
    def test_out_of_bounds_are_refused(self, changes: dict[str, object], reason: str) -> None:
        with pytest.raises(DesiredInvalid, match=reason):
            desired(**changes)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"[" * 100_000, b" " * 600_000])
    def test_that_are_none_are_refused(self, body: bytes) -> None:
        with pytest.raises(DesiredInvalid):
            parse_desired(body)

    @pytest.mark.parametrize(
        ("pattern", "costly"),
        [
            ("--queue=mail", False),
            (".*a.*", False),
            (r"\(a+\)+", False),
            ("[(]+x[)]*", False),
            ("(a|b)x", False),
            ("(a+)+", True),
            ("(a|a)*", True),
            ("(?:a+){2,}", True),
            (".*.*.*x", True),
            (r"(.)\1", True),
            ("(?P<x>a)(?P=x)", True),
        ],
    )
    def test_hold_no_expression_that_takes_for_ever(self, pattern: str, costly: bool) -> None:
        assert bool(costly_reason(pattern)) == costly


class TestFetching:
    def test_applies_once_and_reports(self, host: Host, now: float) -> None:
        host.contract.desired = WISHES
        agent = Agent(host)
        for later in range(3):
            agent.step(now + later)
        assert host.contract.fetches == [200, 304, 304]
        assert [got.interval_seconds for got in agent.applied] == [30]
        (report,) = host.contract.reports
        assert report["agent_version"] == __version__
        assert (report["refused"], report["errors"]) == (False, [])
        assert report["probes"] == {"network": "on", "users": "off"}
        assert str(report["etag"]).startswith('"')
        assert str(report["applied_at"]).endswith("+00:00")

    def test_comes_back_in_about_a_minute(self, host: Host, now: float) -> None:
        host.contract.desired = WISHES
        agent, now = Agent(host), now - 200
        agent.control.step(now)
        pause = agent.control.due_at - now
        assert 0.8 * FETCH_SECONDS <= pause <= 1.2 * FETCH_SECONDS
        agent.control.step(now + pause - 1)
        assert host.contract.fetches == [200]
        agent.control.step(now + pause)
        assert host.contract.fetches == [200, 304]
        # A clock that was set back by more does not keep it from coming.
        agent.control.due_at = now + 10_000
        agent.control.step(now)
        assert host.contract.fetches == [200, 304, 304]

    def test_refuses_what_is_out_of_bounds_and_goes_on_as_before(
        self, host: Host, now: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.contract.desired = WISHES
        agent = Agent(host)
        agent.step(now)
        host.contract.desired = WISHES | {"scrape_interval_seconds": 7}
        for later in range(3):
            agent.step(now + later)
        assert [got.interval_seconds for got in agent.applied] == [30]
        good, refused = host.contract.reports
        assert (good["refused"], refused["refused"]) == (False, True)
        assert good["etag"] != refused["etag"]
        assert "scrape_interval_seconds" in str(refused["errors"])
        assert caplog.text.count("the desired state is refused") == 1
        host.contract.desired = WISHES
        agent.step(now + 5)
        assert host.contract.reports[-1]["refused"] is False

    def test_is_remembered_over_a_start_without_the_server(self, host: Host, now: float) -> None:
        host.contract.desired = WISHES
        Agent(host).step(now)
        kept = last_good(host.spool)
        assert kept is not None
        assert effective(config(), kept).interval_seconds == 30
        again = Agent(host)
        again.step(now)
        assert again.applied == []
        assert host.contract.fetches == [200, 304]

    def test_from_a_server_that_has_none_changes_nothing(
        self, host: Host, now: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        agent = Agent(host)
        agent.step(now)
        agent.step(now)
        assert (agent.applied, host.contract.reports) == ([], [])
        assert caplog.text.count("answered 404") == 1

    @pytest.mark.parametrize(
        ("wishes", "text", "words"),
        [
            ({"minimum_agent_version": {"version": "99.1", "by": "2027-01-01"}}, "",
             "this agent is older than 99.1, wanted by 2027-01-01"),
            ({}, 'environment = "secret"', "environment 'secret' of the file is not this host's"),
        ],
    )  # fmt: skip
    def test_says_what_does_not_go_together(
        self, host: Host, now: float, wishes: dict[str, object], text: str, words: str
    ) -> None:
        host.contract.desired = WISHES | wishes
        agent = Agent(host, text)
        agent.step(now)
        (report,) = host.contract.reports
        assert report["refused"] is False
        assert words in str(report["errors"])
        assert len(agent.applied) == 1

    def test_is_shown_by_status(self, host: Host, now: float) -> None:
        host.contract.desired = WISHES
        Agent(host).step(now)
        shown = json.loads(agent("status", "--state", host.state.path, "--json").stdout)
        assert shown["desired_interval_seconds"] == 30
        assert shown["desired_probes_off"] == ["network"]
        assert shown["desired_rules"] == 1


class TestClock:
    def test_is_compared_with_the_servers(self) -> None:
        date = "Thu, 01 Jan 2026 12:00:00 GMT"
        noon = 1_767_268_800.0
        assert skew_seconds(date, sent_at=noon + 60, received_at=noon + 61) == 60.0
        assert skew_seconds(date, sent_at=noon - 60, received_at=noon - 59) == -60.0
        assert skew_seconds(None, sent_at=noon, received_at=noon) is None
        assert skew_seconds("soon", sent_at=noon, received_at=noon) is None

    def test_that_is_off_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        watch = ClockWatch()
        assert [watch.saw(skew) for skew in (0.3, 0.6, 7.0, 7.4, 0.2)] == [
            True, False, True, False, True,
        ]  # fmt: skip
        assert [record.getMessage() for record in caplog.records] == [
            "this host's clock is 7 s ahead of the server's",
            "this host's clock agrees with the server's again",
        ]

    @pytest.mark.parametrize(("ahead", "words"), [(-420.0, "ahead of"), (420.0, "behind")])
    def test_that_has_signatures_refused_is_named_as_the_reason(
        self, host: Host, now: float, ahead: float, words: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.contract.clock_ahead_seconds = ahead
        host.contract.answers = [(401, {"detail": "The credential is wrong."}, {})]
        host.queue(1, at=now - 60)
        host.deliver(now)
        # The server tells whole seconds, and takes its time.
        told = re.search(r"clock is (\d+) s (.*) the server's; beyond 300 s", caplog.text)
        assert told is not None
        assert (abs(int(told[1]) - 420) < 3, told[2]) == (True, words)
        shown = json.loads(agent("status", "--state", host.state.path, "--json").stdout)
        assert abs(shown["clock_skew_seconds"] + ahead) < 2
        assert "set the clock" in shown["last_error"]

    def test_that_is_right_is_no_reason(
        self, host: Host, now: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.contract.answers = [(401, {"detail": "The credential is wrong."}, {})]
        host.queue(1, at=now - 60)
        host.deliver(now)
        assert "answered 401: The credential is wrong.\n" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"), [("0.9", "0.10"), ("1.2", "1.2.1"), ("1.9.9", "2"), ("0", "0.0.1")]
)
def test_versions_compare_as_numbers(one: str, other: str) -> None:
    assert version_of(one) < version_of(other)
    assert version_of(one) == version_of(one + ".0") == version_of(one + ".0rc1")
