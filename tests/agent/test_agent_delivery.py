"""What was measured reaches the server once, whatever the server and the network do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.delivery import Delivery, backoff_seconds, judge, retry_after_seconds
from hostmeter_agent.server.enrolment import EnrolmentRefused, enrol
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.signing import content_digest, signed_headers
from hostmeter_agent.server.transport import Answer, parse_server
from hostmeter_agent.store.spool import Batch, Identity, Spool, batch_body, encode_rows
from hostmeter_agent.store.state import StateDirectory, StateUnusable

from tests.agent.loopback import HOST, Contract, Reply, serving

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def sample(number: int) -> dict[str, object]:
    return {
        "application": f"app-{number}",
        "instance": "host-1",
        "role": "primary",
        "environment": None,
        "window": ["2026-01-01T12:00:00Z", "2026-01-01T12:00:10Z"],
        "coverage": 1,
        "usage": {"cpu.time": number},
    }


@dataclass
class Host:
    """An enrolled host with a spool, and its server."""

    contract: Contract
    state: StateDirectory
    identity: Identity
    spool: Spool
    delivery: Delivery

    def queue(self, *numbers: int, at: float) -> None:
        self.spool.record([sample(number) for number in numbers], b"{}", at=at)

    def deliver(self, now: float) -> list[float]:
        """Step until all is done or nothing moves; the pauses asked for on the way."""
        pauses: list[float] = []
        while (wait := self.delivery.step(now)) is not None:
            if wait:
                pauses.append(wait)
                return pauses
        return pauses


@pytest.fixture
def contract() -> Contract:
    return Contract()


@pytest.fixture
def url(contract: Contract) -> Iterator[str]:
    with serving(contract) as url:
        yield url


def enrolled(state: StateDirectory, url: str, *, force: bool = False) -> Identity:
    return enrol(state, server_url=url, token="token-1", name="host-1", force=force, now=NOW)


def delivery_of(spool: Spool, state: StateDirectory, identity: Identity) -> Delivery:
    keyring = Keyring(spool, state, identity)
    return Delivery(Channel(parse_server(identity.server), keyring), delay_seconds=10)


@pytest.fixture
def host(contract: Contract, url: str, tmp_path: Path) -> Iterator[Host]:
    state = StateDirectory(tmp_path / "state")
    identity = enrolled(state, url)
    contract.public_key = state.load_key(identity.epoch).public_bytes()
    spool = Spool(state.spool)
    yield Host(contract, state, identity, spool, delivery_of(spool, state, identity))
    spool.close()


@pytest.fixture
def now() -> float:
    return datetime.now(UTC).timestamp()


BATCH = Batch(7, 2, "gzip", b"")


class TestEnrolment:
    def test_it_registers_a_key_of_its_own_and_keeps_it_closed(self, host: Host) -> None:
        assert host.identity.host == HOST
        assert set(host.contract.enrolled) == {"token", "name", "public_key"}
        assert host.state.path.stat().st_mode & 0o777 == 0o700
        for path in (host.state.key_path(host.identity.epoch), host.state.spool):
            assert path.stat().st_mode & 0o777 == 0o600

    def test_a_used_token_is_told_in_the_servers_words(self, url: str, tmp_path: Path) -> None:
        enrolled(StateDirectory(tmp_path / "one"), url)
        with pytest.raises(EnrolmentRefused, match=r"The token cannot be used\.$"):
            enrolled(StateDirectory(tmp_path / "two"), url)

    def test_an_enrolled_state_is_not_replaced_unless_forced(self, host: Host, url: str) -> None:
        with pytest.raises(EnrolmentRefused, match="--force"):
            enrolled(host.state, url)

    def test_an_enrolment_that_failed_leaves_the_former_identity_working(
        self, host: Host, url: str, now: float
    ) -> None:
        with pytest.raises(EnrolmentRefused):
            enrolled(host.state, url, force=True)
        assert host.spool.identity() == host.identity
        assert host.state.load_key(host.identity.epoch)
        assert len(list(host.state.path.glob("key-*"))) == 1

    def test_a_new_identity_has_a_new_epoch_and_sets_undelivered_samples_aside(
        self, host: Host, url: str, now: float
    ) -> None:
        host.queue(1, 2, at=now - 60)
        assert host.delivery.seal_due(now)
        host.queue(3, at=now)
        host.contract.token = "token-1"
        again = enrolled(host.state, url, force=True)
        assert again.epoch != host.identity.epoch
        report = host.spool.report()
        assert (report["pending_samples"], report["quarantined_samples"]) == (0, 3)

    def test_two_agents_do_not_share_a_state(self, host: Host) -> None:
        with (
            host.state.held(),
            pytest.raises(StateUnusable, match="another agent is running on"),
            host.state.held(),
        ):
            pass


class TestBatches:
    def test_samples_wait_for_company_and_are_sent_signed(self, host: Host, now: float) -> None:
        host.queue(1, at=now - 5)
        assert host.deliver(now) == []
        assert host.contract.stored == {}
        host.queue(2, at=now)
        assert host.deliver(now + 5) == []
        assert [s["application"] for s in host.contract.samples] == ["app-1", "app-2"]
        assert host.spool.report()["pending_samples"] == 0
        assert host.spool.report()["acknowledged_samples"] == 2

    def test_a_thousand_samples_do_not_wait_and_no_batch_holds_more(
        self, host: Host, now: float
    ) -> None:
        for first in range(0, 2_400, 400):
            host.queue(*range(first, first + 400), at=now - 20)
        host.deliver(now - 20)
        assert len(host.contract.samples) == 1_600
        host.deliver(now)
        sizes = [len(b["samples"]) for _, b in host.contract.stored.values()]  # type: ignore[arg-type]
        assert sizes == [800, 800, 800]
        assert [sequence for _, sequence in host.contract.stored] == [1, 2, 3]

    def test_a_scan_of_more_than_a_batch_is_cut(self, host: Host, now: float) -> None:
        host.queue(*range(2_500), at=now - 20)
        host.deliver(now)
        assert [s["usage"] for s in host.contract.samples] == [
            {"cpu.time": n} for n in range(2_500)
        ]

    def test_a_clock_set_back_holds_nothing_up(self, host: Host, now: float) -> None:
        host.queue(1, at=now + 3_600)
        host.deliver(now)
        assert len(host.contract.samples) == 1

    def test_the_body_is_the_golden_one(self) -> None:
        pieces = [piece.body for piece in encode_rows([sample(7)])]
        body = batch_body(
            "11111111-1111-4111-8111-111111111111", 3, "2026-01-01T12:00:31Z", pieces, {}
        )
        assert body.decode() == (
            '{"schema":1,"epoch":"11111111-1111-4111-8111-111111111111","sequence":3,'
            '"sent_at":"2026-01-01T12:00:31Z","samples":[{"application":"app-7",'
            '"instance":"host-1","role":"primary","environment":null,'
            '"window":["2026-01-01T12:00:00Z","2026-01-01T12:00:10Z"],"coverage":1,'
            '"usage":{"cpu.time":7}}]}'
        )
        json.loads(body)


class TestTroubles:
    def test_a_lost_answer_sends_the_same_bytes_again(self, host: Host, now: float) -> None:
        host.queue(1, 2, at=now - 60)
        host.contract.answers = [None]
        assert len(host.deliver(now)) == 1
        assert host.deliver(now + 3) == []
        first, second = host.contract.transferred
        assert first == second
        assert len(host.contract.samples) == 2

    @pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
    def test_what_can_never_be_stored_is_set_aside_and_blocks_nothing(
        self, host: Host, now: float, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.queue(1, at=now - 60)
        assert host.delivery.seal_due(now)
        host.queue(2, at=now - 60)
        errors = [{"index": 0, "field": "usage.cpu.time", "reason": "too large"}]
        host.contract.answers = [(status, {"detail": "No.", "errors": errors}, {})]
        host.deliver(now)
        assert [s["application"] for s in host.contract.samples] == ["app-2"]
        report = host.spool.report()
        assert (report["pending_samples"], report["quarantined_batches"]) == (0, 1)
        held = report["quarantine"]
        assert isinstance(held, list)
        assert held[0]["status"] == status
        assert held[0]["reason"] == "No. (usage.cpu.time: too large)"
        assert f"refused with {status}" in caplog.text

    @pytest.mark.parametrize(
        ("reply", "pause"),
        [
            ((429, {}, {"Retry-After": "17"}), 17.0),
            ((503, {}, {"Retry-After": "999999"}), 3_600.0),
        ],
    )
    def test_the_server_says_when_to_come_again(
        self, host: Host, now: float, reply: Reply, pause: float
    ) -> None:
        host.queue(1, at=now - 60)
        host.contract.answers = [reply]
        assert host.deliver(now) == [pause]
        assert host.deliver(now) == []
        assert len(host.contract.samples) == 1

    def test_a_refused_key_is_said_once_and_tried_on(
        self, host: Host, now: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.queue(1, at=now - 60)
        refusal: Reply = (401, {"detail": "The request's signature is not accepted."}, {})
        host.contract.answers = [refusal, refusal, refusal]
        pauses = [host.deliver(now)[0] for _ in range(3)]
        assert pauses[0] <= 1 < pauses[2] <= 4
        assert caplog.text.count("signature is not accepted") == 1
        assert host.deliver(now) == []
        assert len(host.contract.samples) == 1

    def test_a_captive_portals_page_loses_nothing_and_is_told_in_the_status(
        self, host: Host, now: float
    ) -> None:
        host.queue(1, 2, at=now - 60)
        host.contract.answers = [(200, {"welcome": "to the airport"}, {})]
        assert len(host.deliver(now)) == 1
        report = host.spool.report()
        assert report["pending_samples"] == 2
        assert "not this server's receipt" in str(report["last_error"])
        assert host.deliver(now + 3) == []
        assert len(host.contract.samples) == 2
        assert host.spool.report()["last_error"] is None

    def test_a_spool_that_is_opened_again_goes_on_where_it_was(
        self, host: Host, now: float
    ) -> None:
        host.queue(1, at=now - 60)
        host.contract.answers = [(500, {}, {})]
        host.deliver(now)
        spool = Spool(host.state.spool)
        again = delivery_of(spool, host.state, host.identity)
        assert again.step(now) == 0.0
        spool.close()
        assert host.contract.transferred[0] == host.contract.transferred[1]
        assert len(host.contract.samples) == 1


class TestRules:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("0", 0.0),
            ("120", 120.0),
            (format_datetime(NOW + timedelta(seconds=45), usegmt=True), 45.0),
            (format_datetime(NOW - timedelta(seconds=45), usegmt=True), 0.0),
            ("soon", None),
            ("-5", None),
        ],
    )
    def test_retry_after_in_seconds_or_as_a_date(
        self, value: str | None, seconds: float | None
    ) -> None:
        assert retry_after_seconds(value, now=NOW) == seconds

    def test_pauses_double_up_to_five_minutes_and_are_spread(self) -> None:
        assert [backoff_seconds(n, 1.0) for n in (1, 2, 3, 9, 10, 5_000)] == [
            1, 2, 4, 256, 300, 300,
        ]  # fmt: skip
        assert backoff_seconds(3, 0.0) == 2

    @pytest.mark.parametrize("status", [201, 204, 301, 401, 403, 404, 429, 500, 502])
    def test_only_200_lets_a_batch_go(self, status: int) -> None:
        body = b'{"stored": 2, "sequence": 7}'
        assert judge(Answer(status, None, body), BATCH, now=NOW).action == "retry"

    @pytest.mark.parametrize(
        ("body", "action"),
        [
            (b'{"stored": 2, "duplicate": false, "sequence": 7}', "acknowledge"),
            (b'{"stored": 2, "duplicate": true, "sequence": 7}', "acknowledge"),
            (b"<html>Welcome to the airport, please log in</html>", "retry"),
            (b"", "retry"),
            (b"[]", "retry"),
            (b'{"stored": 2, "sequence": 8}', "retry"),
            (b'{"stored": 1, "sequence": 7}', "retry"),
            (b'{"stored": true, "sequence": 7}', "retry"),
            (b'{"sequence": 7}', "retry"),
        ],
    )
    def test_only_this_batchs_receipt_lets_it_go(self, body: bytes, action: str) -> None:
        verdict = judge(Answer(200, None, body), BATCH, now=NOW)
        assert verdict.action == action
        assert bool(verdict.reason) == (action == "retry")

    def test_the_signature_covers_what_the_contract_asks_for(self, tmp_path: Path) -> None:
        state = StateDirectory(tmp_path / "state")
        state.prepare()
        headers = signed_headers(
            state.create_key("1"), "key-1", method="POST", path="/api/v1/batches", body=b"{}",
            created=1_767_268_830,
        )  # fmt: skip
        assert headers["Content-Digest"] == content_digest(b"{}")
        assert headers["Content-Digest"] == (
            "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
        )
        assert headers["Signature-Input"] == (
            'hostmeter=("@method" "@path" "content-digest" "hostmeter-time");created=1767268830;'
            'keyid="key-1";alg="ed25519"'
        )
