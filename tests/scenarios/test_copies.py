"""A state directory that was copied or set back, against the real server: each sample once."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.delivery import Delivery
from hostmeter_agent.server.enrolment import enrol
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.machine import beware_of_copies
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory
from pytest_django.live_server_helper import LiveServer

from metering.core.buckets import bucket_of
from metering.models import HostEpoch, Sample
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import fresh_token

START = bucket_of(datetime.now(UTC)) - timedelta(minutes=10)


class Machine:
    """An enrolled machine, switched on."""

    def __init__(self, folder: Path, number: str) -> None:
        self.state, self.number = StateDirectory(folder), number
        self.spool = Spool(self.state.spool)
        identity = self.spool.identity()
        assert identity is not None
        self.was_copied = beware_of_copies(self.spool, number, now=time.time())
        keyring = Keyring(self.spool, self.state, identity)
        channel = Channel(parse_server(identity.server), keyring)
        self.delivery = Delivery(channel, delay_seconds=0)

    def measure(self, *amounts: int) -> None:
        """A window for each amount; the amount says where it lies in time."""
        for amount in amounts:
            start = START + timedelta(seconds=amount % 100)
            end = start + timedelta(seconds=1)
            one: dict[str, object] = {
                "application": "shop",
                "instance": "one",
                "role": "primary",
                "environment": None,
                "window": [start.isoformat(), end.isoformat()],
                "coverage": 1,
                "usage": {"cpu.time": amount, "own.meter": amount},
            }
            self.spool.record([one], b"{}", at=time.time() - 1)

    def deliver(self) -> None:
        until = time.monotonic() + 30
        while self.delivery.step(time.time()) is not None:
            assert time.monotonic() < until

    def quarantined(self) -> int:
        return self.spool.quarantined_samples()


@contextmanager
def switched_on(folder: Path, number: str) -> Iterator[Machine]:
    machine = Machine(folder, number)
    yield machine
    machine.spool.close()


@pytest.fixture
def first(tmp_path: Path, live_server: LiveServer, tenant: Tenant) -> Path:
    """An enrolled state directory that has delivered 1 and 2, and holds 3 and 4."""
    folder = tmp_path / "first"
    enrol(
        StateDirectory(folder), server_url=live_server.url, token=fresh_token(tenant),
        name="web-1", force=False, now=datetime.now(UTC),
    )  # fmt: skip
    with switched_on(folder, "machine-1") as machine:
        machine.measure(1, 2)
        machine.deliver()
        machine.measure(3, 4)
    return folder


def stored(tenant: Tenant) -> list[int | None]:
    with tenant_scope(tenant.pk):
        return list(Sample.objects.order_by("cpu_time").values_list("cpu_time", flat=True))


def epochs(tenant: Tenant) -> int:
    with tenant_scope(tenant.pk):
        return HostEpoch.objects.count()


@pytest.mark.django_db(transaction=True)
class TestClone:
    @pytest.mark.parametrize("number", ["machine-2", "machine-1"])
    @pytest.mark.parametrize("order", ["original first", "clone first", "in turn"])
    def test_beside_its_original_doubles_and_loses_nothing(
        self, first: Path, tenant: Tenant, number: str, order: str
    ) -> None:
        """Whether the copy can be told from its machine or not (an image that is copied whole,
        with the machine's number)."""
        copy = first.with_name("copy")
        shutil.copytree(first, copy)
        with switched_on(first, "machine-1") as original, switched_on(copy, number) as clone:
            assert clone.was_copied == (number == "machine-2")
            assert not original.was_copied
            original.measure(105, 106)
            clone.measure(205, 206)
            machines = [clone, original] if order == "clone first" else [original, clone]
            if order == "in turn":
                for machine in machines:
                    machine.delivery.step(time.time())
            for machine in machines:
                machine.deliver()
            original.measure(107)
            clone.measure(207)
            for machine in machines:
                machine.deliver()
            assert stored(tenant) == [1, 2, 3, 4, 105, 106, 107, 205, 206, 207]
            assert original.quarantined() == clone.quarantined() == 0
            # Both begin a new one where the clone was noticed at once and came first.
            assert epochs(tenant) in (2, 3)

    def test_that_replaces_its_original_delivers_what_that_left(
        self, first: Path, tenant: Tenant
    ) -> None:
        """A disk that was moved to another machine."""
        with switched_on(first, "machine-2") as machine:
            assert machine.was_copied
            machine.measure(5)
            machine.deliver()
            assert stored(tenant) == [1, 2, 3, 4, 5]
        with switched_on(first, "machine-2") as machine:
            assert not machine.was_copied


@pytest.mark.django_db(transaction=True)
class TestSnapshot:
    def test_that_was_restored_doubles_and_loses_nothing(self, first: Path, tenant: Tenant) -> None:
        snapshot = first.with_name("snapshot")
        shutil.copytree(first, snapshot)
        with switched_on(first, "machine-1") as machine:
            for amounts in ((5, 6), (7,), (8, 9)):
                machine.measure(*amounts)
                machine.deliver()
        shutil.rmtree(first)
        shutil.copytree(snapshot, first)
        with switched_on(first, "machine-1") as machine:
            machine.measure(10, 11)
            machine.deliver()
            machine.measure(12)
            machine.deliver()
            assert stored(tenant) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
            assert machine.quarantined() == 0
            assert epochs(tenant) == 2

    def test_again_and_again_comes_to_an_end(self, first: Path, tenant: Tenant) -> None:
        snapshot = first.with_name("snapshot")
        shutil.copytree(first, snapshot)
        for turn in range(3):
            with switched_on(first, "machine-1") as machine:
                machine.measure(5 + turn)
                machine.deliver()
            shutil.rmtree(first)
            shutil.copytree(snapshot, first)
        assert stored(tenant) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.django_db(transaction=True)
def test_two_hosts_with_one_epoch_are_told_apart_by_name(
    first: Path, tenant: Tenant, live_server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    folder = first.with_name("second")
    enrol(
        StateDirectory(folder), server_url=live_server.url, token=fresh_token(tenant),
        name="web-2", force=False, now=datetime.now(UTC),
    )  # fmt: skip
    with switched_on(first, "machine-1") as one, switched_on(folder, "machine-2") as other:
        other.spool.begin_epoch(one.spool.sealing_epoch())
        other.measure(21)
        other.deliver()
        assert "This epoch belongs to the host 'web-1'" in caplog.text
        one.deliver()
        assert stored(tenant) == [1, 2, 3, 4, 21]
        assert other.quarantined() == 0
