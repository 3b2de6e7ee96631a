"""What `doctor` says of the way to the server and of the clock."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hostmeter_agent.install import doctor, doctor_delivery
from hostmeter_agent.install.findings import Place
from hostmeter_agent.server.enrolment import enrol
from hostmeter_agent.store.state import StateDirectory

from tests.agent.loopback import Contract, Reply, Request, serving


@pytest.fixture
def host(tmp_path: Path) -> Place:
    (tmp_path / "state").mkdir()
    return Place(tmp_path / "state")


class NoBatches(Contract):
    """Refuses as the server does what is signed well and no batch."""

    def store(self, request: Request, body: bytes) -> Reply:
        assert body == b"{}"
        return 422, {"detail": "schema: is missing"}, {}


def _enrol(host: Place, contract: Contract, url: str) -> None:
    state = StateDirectory(host.state)
    enrol(state, server_url=url, token="token-1", name="web-1", force=False, now=datetime.now(UTC))
    contract.public_key = base64.b64decode(str(contract.enrolled["public_key"]))


class TestTheWayToTheServer:
    @pytest.fixture
    def enrolled(self, host: Place) -> tuple[Place, Contract]:
        contract = Contract()
        with serving(contract) as url:
            _enrol(host, contract, url)
        return host, contract

    def test_is_missing_before_enrolment(self, host: Place) -> None:
        for check in (doctor_delivery.server, doctor_delivery.server_clock):
            assert check(host).reason == "this host is not enrolled"

    def test_is_refused_where_nobody_listens(self, enrolled: tuple[Place, Contract]) -> None:
        found = doctor_delivery.server(enrolled[0])
        assert (found.quality, "Connection refused" in found.reason) == ("unavailable", True)

    @pytest.mark.parametrize(
        ("status", "quality", "word"),
        [
            (422, "ok", "takes the key of web-1"),
            (401, "unavailable", "does not take the key"),
            (503, "unavailable", "answered 503"),
        ],
    )
    def test_is_tried_with_the_key(
        self, enrolled: tuple[Place, Contract], monkeypatch: pytest.MonkeyPatch,
        status: int, quality: str, word: str,
    ) -> None:  # fmt: skip
        place, _ = enrolled
        monkeypatch.setattr(doctor_delivery, "_ask", lambda *_: (status, None))
        found = doctor_delivery.server(place)
        assert found.quality == quality
        assert word in found.reason

    def test_tries_the_key_itself(self, host: Place) -> None:
        """Whatever a server says to a signed body that is no batch, it has judged the key."""
        contract = NoBatches()
        with serving(contract) as url:
            _enrol(host, contract, url)
            assert doctor_delivery.server(host).quality == "ok"
            assert doctor_delivery.server_clock(host).quality == "ok"
            contract.public_key = bytes(31) + b"\x08"
            assert "does not take the key" in doctor_delivery.server(host).reason

    @pytest.mark.parametrize(
        ("apart", "quality", "remedy"),
        [(0, "ok", ""), (30, "ok", "set the clock"), (400, "unavailable", "set the clock")],
    )
    def test_compares_the_clocks(
        self, enrolled: tuple[Place, Contract], monkeypatch: pytest.MonkeyPatch,
        apart: int, quality: str, remedy: str,
    ) -> None:  # fmt: skip
        theirs = datetime.fromtimestamp(datetime.now(UTC).timestamp() + apart, UTC)
        monkeypatch.setattr(doctor_delivery, "_ask", lambda *_: (422, theirs))
        found = doctor_delivery.server_clock(enrolled[0])
        assert (found.quality, found.remedy) == (quality, remedy)

    def test_the_spool_is_written_and_synchronised(self, host: Place) -> None:
        found = doctor_delivery.spool(host)
        assert "stored durably in" in found.reason or "are free" in found.reason
        assert list(host.state.iterdir()) == []

    def test_a_spool_that_cannot_be_written_stops_all_metering(
        self, host: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        found = doctor_delivery.spool(host)
        assert "No space left on device" in found.reason
        assert not doctor.can_meter([found])
        assert list(host.state.iterdir()) == []
