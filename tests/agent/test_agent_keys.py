"""A host replaces its key, and no crash, lost answer or server that was set back locks it out."""

import base64
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.server import rotation
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.control import Control
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.rotation import RotationRefused
from hostmeter_agent.server.transport import ServerUnreachable, parse_server
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.wire_control import KEY_OVERLAP_SECONDS

from tests.agent.loopback import KEY_ID
from tests.agent.test_agent_command import agent
from tests.agent.test_agent_delivery import Host, contract, enrolled, host, now, url

__all__ = ["contract", "host", "now", "url"]

DAY = 86_400.0


def channel_of(host: Host) -> Channel:
    """As a process has it that has just started."""
    keyring = Keyring(host.spool, host.state, host.identity)
    return Channel(parse_server(host.identity.server), keyring)


def key_files(host: Host) -> int:
    return len(list(host.state.path.glob("key-*")))


def signs_with(host: Host, now: float) -> str:
    """The key under which the next batch is taken."""
    host.queue(1, at=now - 60)
    before = len(host.contract.samples)
    host.deliver(now)
    assert len(host.contract.samples) == before + 1
    return Keyring(host.spool, host.state, host.identity).current().key_id


class TestRotation:
    def test_signs_with_the_new_key_and_keeps_the_former_for_a_day(
        self, host: Host, now: float
    ) -> None:
        assert rotation.rotate(channel_of(host), now=now) == "key-2"
        assert signs_with(host, now) == "key-2"
        assert key_files(host) == 2
        keyring = Keyring(host.spool, host.state, host.identity)
        keyring.accepted(keyring.current(), now=now + KEY_OVERLAP_SECONDS - 1)
        assert key_files(host) == 2
        keyring.accepted(keyring.current(), now=now + KEY_OVERLAP_SECONDS + 1)
        assert key_files(host) == 1
        assert keyring.former() is None
        assert signs_with(host, now) == "key-2"

    def test_whose_answer_is_lost_is_gone_on_with(self, host: Host, now: float) -> None:
        host.contract.key_answers = [None]
        with pytest.raises(ServerUnreachable):
            rotation.rotate(channel_of(host), now=now)
        assert signs_with(host, now) == KEY_ID
        assert rotation.rotate(channel_of(host), now=now) == "key-2"
        assert len(host.contract.keys) == 1
        assert signs_with(host, now) == "key-2"

    @pytest.mark.parametrize("step", ["create_key", "next_key", "send", "turn"])
    def test_that_was_killed_anywhere_is_gone_on_with(
        self, host: Host, now: float, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed when a step was done, and of it all that is on disk."""

        class Killed(BaseException):
            pass

        owner = {"create_key": type(host.state), "send": Channel}.get(step, Keyring)
        done = getattr(owner, step)

        def and_no_further(*args: object, **kwargs: object) -> None:
            done(*args, **kwargs)
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(owner, step, and_no_further)
            with pytest.raises(Killed):
                rotation.rotate(channel_of(host), now=now)
        Keyring(host.spool, host.state, host.identity).sweep()
        assert signs_with(host, now) == ("key-2" if step == "turn" else KEY_ID)
        if step != "turn":
            assert rotation.rotate(channel_of(host), now=now) == "key-2"
        assert signs_with(host, now) == "key-2"
        Keyring(host.spool, host.state, host.identity).sweep()
        assert key_files(host) == 2
        assert len(host.contract.keys) == 1

    def test_that_the_server_refuses_changes_nothing(self, host: Host, now: float) -> None:
        host.contract.key_answers = [(409, {"type": "key-superseded", "detail": "No."}, {})]
        with pytest.raises(RotationRefused, match=r"took no new key: No\.$"):
            rotation.rotate(channel_of(host), now=now)
        assert signs_with(host, now) == KEY_ID

    def test_whose_key_is_taken_makes_another(self, host: Host, now: float) -> None:
        host.contract.key_answers = [(409, {"type": "key-already-enrolled"}, {})]
        with pytest.raises(RotationRefused):
            rotation.rotate(channel_of(host), now=now)
        assert key_files(host) == 1
        assert rotation.rotate(channel_of(host), now=now) == "key-2"

    def test_that_the_server_forgot_falls_back_and_is_asked_for_again(
        self, host: Host, now: float
    ) -> None:
        """The server's database was set back to before the rotation."""
        rotation.rotate(channel_of(host), now=now)
        assert signs_with(host, now) == "key-2"
        new = host.contract.keys.pop("key-2")
        assert signs_with(host, now) == KEY_ID
        assert rotation.rotate(channel_of(host), now=now) == "key-2"
        assert host.contract.keys == {"key-2": new}
        assert signs_with(host, now) == "key-2"

    def test_of_a_revoked_host_waits(self, host: Host, now: float) -> None:
        rotation.rotate(channel_of(host), now=now)
        host.contract.revoked = {KEY_ID, "key-2"}
        host.queue(1, at=now - 60)
        assert host.deliver(now)[0] > 0
        assert host.contract.samples == []
        host.contract.revoked = {KEY_ID}
        assert host.deliver(now) == []
        assert len(host.contract.samples) == 1

    def test_does_not_outlive_a_new_enrolment(self, host: Host, url: str, now: float) -> None:
        rotation.rotate(channel_of(host), now=now)
        host.contract.token = "token-1"
        again = enrolled(host.state, url, force=True)
        host.contract.public_key = base64.b64decode(str(host.contract.enrolled["public_key"]))
        keyring = Keyring(host.spool, host.state, again)
        assert keyring.current().key_id == KEY_ID
        assert key_files(host) == 1

    def test_survives_a_forced_enrolment_that_fails(self, host: Host, url: str, now: float) -> None:
        rotation.rotate(channel_of(host), now=now)
        with pytest.raises(Exception, match="The token cannot be used"):
            enrolled(host.state, url, force=True)
        assert signs_with(host, now) == "key-2"


class TestByAge:
    @pytest.mark.parametrize(
        ("config", "wish", "days", "rotates"),
        [
            (Config(), None, 89, False),
            (Config(), None, 91, True),
            (Config(), 30, 31, True),
            (Config(key_rotation_days=60, stated=frozenset({"key_rotation_days"})), 30, 31, False),
            (Config(key_rotation_days=60, stated=frozenset({"key_rotation_days"})), 300, 61, True),
        ],
    )
    def test_a_key_is_replaced_when_it_is_old_enough(
        self, host: Host, now: float, config: Config, wish: int | None, days: int, rotates: bool
    ) -> None:
        host.contract.desired = {"schema": 1, "key_rotation_days": wish}
        host.spool.take_notes(
            {"key": {"label": host.identity.epoch, "key_id": KEY_ID, "since": now - days * DAY}}
        )
        Control(channel_of(host), config).step(now)
        assert bool(host.contract.keys) == rotates
        assert signs_with(host, now) == ("key-2" if rotates else KEY_ID)

    def test_what_was_begun_is_finished_although_it_is_not_due(
        self, host: Host, now: float
    ) -> None:
        Keyring(host.spool, host.state, host.identity).next_key()
        Control(channel_of(host), Config()).step(now)
        assert signs_with(host, now) == "key-2"

    def test_a_refusal_is_not_repeated_every_minute(self, host: Host, now: float) -> None:
        Keyring(host.spool, host.state, host.identity).next_key()
        host.contract.key_answers = [(409, {"type": "key-superseded"}, {})] * 9
        control = Control(channel_of(host), Config())
        for minute in range(30):
            control.due_at = 0
            control.step(now + minute)
        assert len(host.contract.key_answers) == 8


class TestCommand:
    def test_rotates_beside_a_running_agent(self, host: Host, now: float) -> None:
        done = agent("rotate-key", "--state", host.state.path)
        assert done.stdout == "signing with key key-2; the former one expires in a day\n"
        assert signs_with(host, now) == "key-2"
        shown = agent("status", "--state", host.state.path).stdout
        assert "key id: key-2\n" in shown

    def test_says_in_one_line_why_not(self, host: Host, tmp_path: Path) -> None:
        host.contract.key_answers = [(503, {"detail": "The database is away."}, {})]
        refused = agent("rotate-key", "--state", host.state.path)
        nowhere = agent("rotate-key", "--state", tmp_path / "none")
        for done, words in ((refused, "The database is away."), (nowhere, "is not enrolled")):
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert words in done.stderr


def test_notes_are_all_taken_or_none(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    with pytest.raises(TypeError):
        spool.take_notes({"one": {"n": 1}, "two": {"n": object()}})
    assert spool.note("one") is None
    spool.close()
