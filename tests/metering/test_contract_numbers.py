"""Numbers at the contract's edges, as they are spelt in JSON and as they are stored."""

import json
from typing import Any

import pytest

from metering.models import Application
from metering.queries import SampleRow, samples_of
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample
from tests.metering.test_ingest import accepted, errors, nothing_stored

HUGE = "9" * 5_000


def spelt(document: dict[str, Any], number: str) -> bytes:
    """The document with `number` where it has "@"."""
    return json.dumps(document).replace('"@"', number).encode()


def stored(agent: Agent) -> SampleRow:
    with tenant_scope(agent.tenant.pk):
        (row,) = samples_of(Application.objects.get().pk, last_bucket())
    return row


class TestAQuantity:
    @pytest.mark.parametrize("meter", ["cpu.time", "gpu.time"])
    @pytest.mark.parametrize(
        "number",
        [*("1E0", "0e0", "1e-999", "[]", "{}"), str(2**64), str(-(2**63) - 1), HUGE, "1e999"],
    )
    def test_that_is_no_integer_of_63_bits_is_named(
        self, agent: Agent, meter: str, number: str
    ) -> None:
        body = spelt(batch(sample(), sample(usage={"threads": 1, meter: "@"})), number)
        assert errors(agent.post(body)) == [(1, f"usage.{meter}")]
        assert nothing_stored(agent)

    @pytest.mark.parametrize("number", ["01", "+1", "1.", ".5", "0x10", "1_000", "Infinity"])
    def test_that_is_no_json_is_malformed(self, agent: Agent, number: str) -> None:
        body = spelt(batch(sample(usage={"cpu.time": "@"})), number)
        assert agent.post(body).status_code == 400

    @pytest.mark.parametrize("number", ["0", "-0", str(2**63 - 1)])
    def test_is_stored_exactly(self, agent: Agent, number: str) -> None:
        accepted(agent.post(spelt(batch(sample(usage={"cpu.time": "@", "gpu.x": "@"})), number)))
        assert dict(stored(agent).usage) == {"cpu.time": int(number), "gpu.x": int(number)}


class TestACoverage:
    @pytest.mark.parametrize("number", ["1.0000001", "-1e-20", "2", "null", "1e400", HUGE])
    def test_out_of_bounds_is_named(self, agent: Agent, number: str) -> None:
        assert errors(agent.post(spelt(batch(sample(coverage="@")), number))) == [(0, "coverage")]

    @pytest.mark.parametrize(
        ("number", "ppm"),
        [("-0", 0), ("-0.0", 0), ("1e-7", 0), ("100e-2", 1_000_000), ("5E-1", 500_000)],
    )
    def test_may_be_spelt_in_any_way(self, agent: Agent, number: str, ppm: int) -> None:
        accepted(agent.post(spelt(batch(sample(coverage="@")), number)))
        assert stored(agent).coverage_ppm == ppm


class TestTheEnvelope:
    @pytest.mark.parametrize(
        ("field", "number"),
        [
            *[("sequence", number) for number in ("true", "null", "1e0", '"1"', HUGE, "-1e999")],
            *[("schema", number) for number in ("true", "null", "1.0", "1e0", "[1]", HUGE)],
        ],
    )
    def test_takes_integers_only(self, agent: Agent, field: str, number: str) -> None:
        assert errors(agent.post(spelt(batch(**{field: "@"}), number))) == [(None, field)]

    def test_numbers_batches_up_to_63_bits(self, agent: Agent) -> None:
        assert accepted(agent.deliver(batch(sequence=2**63 - 1)))["sequence"] == 2**63 - 1


def test_a_huge_number_does_not_hide_other_errors(agent: Agent) -> None:
    wrong = sample(usage={"cpu.time": "@", "threads": -1}, note="@")
    body = spelt(batch(wrong, sample(role="main")), HUGE)
    assert errors(agent.post(body)) == [(0, "usage.cpu.time"), (0, "usage.threads"), (1, "role")]


def test_a_huge_number_that_nobody_reads_is_no_error(agent: Agent) -> None:
    accepted(agent.post(spelt(batch(sample(note="@"), hint="@"), "1e999")))


@pytest.mark.parametrize("tail", ["NaN", "{", '"\\ud800"', "[" * 5_000])
def test_what_is_malformed_behind_a_huge_number_is_malformed(agent: Agent, tail: str) -> None:
    body = spelt(batch(sample(usage={"cpu.time": "@"})), HUGE)
    assert agent.post(body[:-1] + f', "note": {tail}'.encode()).status_code == 400
