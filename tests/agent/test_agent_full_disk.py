"""A full disk stops nothing but the storing: nothing breaks, and totals are whole afterwards."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.server.talking import Talking
from hostmeter_agent.store.room import RESERVE_BYTES
from hostmeter_agent.store.spool import Spool, SpoolFull, SpoolUnusable
from hostmeter_agent.store.state import StateDirectory

from tests.agent import mounts
from tests.agent.loopback import Contract
from tests.agent.test_agent_delivery import contract, enrolled, sample, url

__all__ = ["contract", "url"]

MARK = "own.count"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    with mounts.tmpfs(path, "size=6m"):
        yield path


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with_room = True
            while with_room:
                try:
                    with_room = file.write(bytes(size)) == size
                except OSError:
                    with_room = False
    assert os.statvfs(disk).f_bavail == 0
    return ballast


class Counting:
    """Counts to the disk as the agent measures: what could not be stored is in the next."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.counted = 0
        self.stored = 0
        self.refused = 0

    def count(self) -> None:
        self.counted += 1
        one = sample(0) | {"usage": {"cpu.time": self.counted - self.stored, MARK: 1}}
        try:
            self.spool.record([one] + [sample(0)] * 200, b"%d" % self.counted, at=0.0)
        except SpoolFull:
            self.refused += 1
        else:
            self.stored = self.counted


def counted(contract: Contract) -> int:
    usages = [s["usage"] for s in contract.samples]
    return sum(u["cpu.time"] for u in usages if isinstance(u, dict) and MARK in u)


@contextmanager
def talking(state: StateDirectory, spool: Spool) -> Iterator[Talking]:
    identity = spool.identity()
    assert identity is not None
    config = Config(push_delay_seconds=0)
    thread = Talking(state, identity, config, apply=lambda _: None, probe_states=dict)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()
        thread.join(20)


class TestFullDisk:
    def test_loses_nothing_and_breaks_nothing(
        self, small_disk: Path, contract: Contract, url: str
    ) -> None:
        state = StateDirectory(small_disk / "state")
        identity = enrolled(state, url)
        contract.public_key = state.load_key(identity.epoch).public_bytes()
        spool = Spool(state.spool)
        counting = Counting(spool)
        for _ in range(20):
            counting.count()
        ballast = fill(small_disk)
        while counting.refused < 10:
            counting.count()
        assert 20 <= counting.stored < counting.counted
        assert spool.baseline() == b"%d" % counting.stored
        ballast.unlink()
        counting.count()
        assert counting.stored == counting.counted
        spool.close()
        check = sqlite3.connect(state.spool)
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        check.close()
        spool = Spool(state.spool)
        with talking(state, spool) as thread:
            while spool.queued()[0] or spool.oldest_batch():
                assert thread.failure is None
                thread.join(0.05)
        assert counted(contract) == counting.counted
        spool.close()

    def test_drains_to_the_server_although_no_byte_is_free(
        self, small_disk: Path, contract: Contract, url: str
    ) -> None:
        """Fixing a batch and deleting what was acknowledged take room, which was kept for it."""
        state = StateDirectory(small_disk / "state")
        identity = enrolled(state, url)
        contract.public_key = state.load_key(identity.epoch).public_bytes()
        spool = Spool(state.spool)
        counting = Counting(spool)
        for _ in range(30):
            counting.count()
        fill(small_disk)
        while counting.refused < 10:
            counting.count()
        assert state.path.joinpath("reserve").stat().st_size == RESERVE_BYTES
        with talking(state, spool) as thread:
            while spool.queued()[0] or spool.oldest_batch():
                assert thread.is_alive()
                assert thread.failure is None
                thread.join(0.05)
        assert thread.failure is None
        assert counted(contract) == counting.stored
        spool.close()

    def test_is_met_at_a_start_as_well(self, small_disk: Path, url: str) -> None:
        state = StateDirectory(small_disk / "state")
        enrolled(state, url)
        spool = Spool(state.spool)
        Counting(spool).count()
        spool.close()
        fill(small_disk)
        again = Spool(state.spool)
        assert again.identity() is not None
        with pytest.raises(SpoolFull, match="the disk is full"):
            again.record([sample(1)], b"{}", at=0.0)
        again.close()

    def test_that_may_only_be_read_is_put_up_with(
        self, small_disk: Path, contract: Contract, url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        state = StateDirectory(small_disk / "state")
        identity = enrolled(state, url)
        contract.public_key = state.load_key(identity.epoch).public_bytes()
        spool = Spool(state.spool)
        counting = Counting(spool)
        counting.count()
        spool.close()
        mounts.make_read_only(small_disk)
        with pytest.raises(SpoolUnusable):
            Spool(state.spool).record([sample(1)], b"{}", at=0.0)
        mounts.make_writable(small_disk)
        spool = Spool(state.spool)
        counting.spool = spool
        counting.count()
        assert counting.stored == 2
        spool.close()


def test_a_reserve_that_cannot_be_kept_stores_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.reserve.path.mkdir()
    spool.record([sample(1)], b"1", at=0.0)
    spool.reserve.path.rmdir()
    tmp_path.joinpath("reserve").symlink_to(tmp_path / "nowhere" / "else")
    with pytest.raises(SpoolFull, match="symbolic links"):
        spool.record([sample(2)], b"2", at=0.0)
    assert spool.baseline() == b"1"
    spool.close()


def test_a_spool_that_is_full_for_sqlite_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(SpoolFull, match="full"):
        spool.record([sample(n) for n in range(1_000)], b"1", at=0.0)
    assert spool.baseline() is None
    spool._connection.execute("PRAGMA max_page_count = 2000")
    spool.record([sample(n) for n in range(1_000)], b"1", at=0.0)
    assert spool.queued()[0] == 1_000
    spool.close()
