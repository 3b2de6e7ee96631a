"""What a server refuses for good is kept, blocks nothing, and can be sent again."""

import time

import pytest
from hostmeter_agent.measure.windows import stamp
from hostmeter_agent.server.transport import Answer
from hostmeter_agent.store.quarantine import PIECES, NothingQuarantined, refused_samples, requeue
from hostmeter_agent.store.spool import Batch, Spool, encode_rows

from tests.agent.loopback import Contract, Reply
from tests.agent.test_agent_command import agent
from tests.agent.test_agent_delivery import Host, contract, enrolled, host, sample, url

__all__ = ["contract", "host", "url"]


@pytest.fixture
def now() -> float:
    """Early enough for what follows it to be signed in the past."""
    return time.time() - 200


def named(*indexes: int | None) -> Reply:
    errors = [{"index": i, "field": "usage", "reason": "too large"} for i in indexes]
    return 422, {"title": "Unprocessable", "errors": errors}, {}


def applications(contract: Contract) -> list[object]:
    return [s["application"] for s in contract.samples]


class TestRefusedSamples:
    def test_only_what_the_server_names_is_set_aside(self, host: Host, now: float) -> None:
        host.queue(0, 1, 2, 3, at=now - 60)
        host.contract.answers = [named(1, 3, 3)]
        host.deliver(now)
        host.deliver(now + 20)
        assert applications(host.contract) == ["app-0", "app-2"]
        report = host.spool.report()
        assert (report["quarantined_samples"], report["pending_samples"]) == (2, 0)

    def test_one_refusal_after_another_comes_to_an_end(self, host: Host, now: float) -> None:
        host.queue(0, 1, 2, at=now - 60)
        host.contract.answers = [named(0)] * 5
        for later in range(0, 100, 20):
            host.deliver(now + later)
        assert host.spool.report()["quarantined_samples"] == 3
        assert len(host.contract.transferred) == 3

    @pytest.mark.parametrize("indexes", [(), (None,), (0, None), (0, 7), (-1,), (0, 1, 2)])
    def test_a_refusal_that_names_none_or_all_or_more_takes_the_whole_batch(
        self, indexes: tuple[int | None, ...]
    ) -> None:
        _, fields, _ = named(*indexes)
        answer = Answer(422, None, repr(fields).replace("'", '"').replace("None", "null").encode())
        assert refused_samples(answer, Batch(1, 3, "gzip", b"")) == frozenset()


class TestWhatWasAheadOfTheServersClock:
    """A day, as where the host's clock was set by hand."""

    def refuse(self, host: Host, number: int, *, at: float, until: float) -> None:
        window = [stamp(int(until - 10) * 1_000), stamp(int(until) * 1_000)]
        pieces = encode_rows([sample(number) | {"window": window}])
        refused = Batch(number, 1, PIECES, pieces[0].body)
        said = stamp(int(at) * 1_000)
        host.spool.quarantine(refused, [], status=422, reason="ahead", now=said, at=at)

    def test_is_sent_again_by_itself_when_its_time_has_come(self, host: Host, now: float) -> None:
        yesterday = now - 86_400
        self.refuse(host, 1, at=yesterday, until=now - 60)
        self.refuse(host, 2, at=yesterday, until=now + 3_600)
        self.refuse(host, 3, at=yesterday, until=yesterday - 5)
        host.deliver(now)
        host.deliver(now + 20)
        assert applications(host.contract) == ["app-1"]
        assert host.spool.report()["quarantined_samples"] == 2


class TestRequeue:
    @pytest.mark.parametrize("refusal", [(413, {}, {}), named(0)])
    def test_what_was_refused_is_sent_again_under_new_numbers(
        self, host: Host, now: float, refusal: Reply
    ) -> None:
        host.queue(0, 1, at=now - 60)
        host.contract.answers = [refusal]
        host.deliver(now)
        held = host.spool.report()["quarantined_samples"]
        assert requeue(host.state, now=now) == (held, 0)
        host.deliver(now + 20)
        assert sorted(map(str, applications(host.contract))) == ["app-0", "app-1"]
        assert min(sequence for _, sequence in host.contract.stored) > 1
        assert host.spool.report()["quarantined_batches"] == 0

    def test_what_a_former_identity_left_stays(self, host: Host, url: str, now: float) -> None:
        host.queue(0, 1, at=now)
        host.contract.token = "token-1"
        enrolled(host.state, url, force=True)
        with pytest.raises(NothingQuarantined, match="2 samples of former identities stay"):
            requeue(host.state, now=now)
        assert host.spool.report()["quarantined_samples"] == 2

    def test_the_command_says_in_one_line_what_it_did(self, host: Host, now: float) -> None:
        done = agent("requeue", "--state", host.state.path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "nothing of this identity is quarantined" in done.stderr
        host.queue(0, at=now - 60)
        host.contract.answers = [(400, {}, {})]
        host.deliver(now)
        done = agent("requeue", "--state", host.state.path)
        assert done.stdout == "1 samples are queued again\n"


class TestNumbersInUse:
    def test_what_follows_bears_a_new_epoch(
        self, host: Host, now: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.queue(0, at=now - 60)
        assert host.delivery.seal_due(now)
        host.queue(1, at=now - 60)
        assert host.delivery.seal_due(now)
        refusal: Reply = (409, {"type": "sequence-in-use", "detail": "In use."}, {})
        host.contract.answers = [refusal, refusal]
        host.deliver(now)
        host.deliver(now)
        assert caplog.text.count("new epoch") == 1
        host.queue(2, at=now)
        host.deliver(now + 20)
        assert requeue(host.state, now=now + 20) == (2, 0)
        host.deliver(now + 40)
        assert sorted(map(str, applications(host.contract))) == ["app-0", "app-1", "app-2"]
        epochs = {epoch for epoch, _ in host.contract.stored}
        assert epochs == {host.spool.sealing_epoch()}
        assert epochs != {host.identity.epoch}

    def test_what_the_server_holds_is_let_go_and_the_rest_sent_anew(
        self, host: Host, now: float
    ) -> None:
        host.queue(0, 1, 2, 3, at=now - 60)
        refusal: Reply = (409, {"type": "sequence-in-use", "detail": "x", "stored": [1, 2]}, {})
        host.contract.answers = [refusal]
        host.deliver(now)
        host.deliver(now + 20)
        assert applications(host.contract) == ["app-0", "app-3"]
        report = host.spool.report()
        assert (report["acknowledged_samples"], report["quarantined_samples"]) == (4, 0)
        assert report["pending_samples"] == 0

    def test_an_epoch_of_another_host_leaves_nothing_behind(self, host: Host, now: float) -> None:
        host.queue(0, 1, at=now - 60)
        host.contract.answers = [(409, {"type": "epoch-in-use", "detail": "In use."}, {})]
        host.deliver(now)
        host.deliver(now + 20)
        assert applications(host.contract) == ["app-0", "app-1"]
        assert {epoch for epoch, _ in host.contract.stored} == {host.spool.sealing_epoch()}

    def test_a_server_that_takes_no_number_is_not_asked_without_a_pause(
        self, host: Host, now: float
    ) -> None:
        host.queue(0, at=now - 60)
        host.contract.answers = [(409, {"type": "epoch-in-use"}, {})] * 5
        pauses = [host.deliver(now + 20 * turn)[-1:] for turn in range(5)]
        assert pauses[1:] == [[2.0], [4.0], [8.0], [16.0]]
        host.deliver(now + 120)
        assert applications(host.contract) == ["app-0"]

    def test_a_spool_of_an_earlier_agent_is_taken_over(self, host: Host) -> None:
        host.spool._connection.executescript(
            "DROP TABLE epoch; DROP TABLE measurement; DROP TABLE note; DROP INDEX window_fine;"
            "DROP INDEX window_size; ALTER TABLE window DROP COLUMN coalesced;"
            "ALTER TABLE window DROP COLUMN measured;"
            "PRAGMA user_version = 1;"
        )
        spool = Spool(host.state.spool)
        assert spool.sealing_epoch() == host.identity.epoch
        spool.begin_epoch("new")
        assert spool.sealing_epoch() == "new"
        assert spool.identity() == host.identity
        assert host.state.load_key(host.identity.epoch)
        spool.close()
