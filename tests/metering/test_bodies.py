"""A batch's body on its way in: its type, its coding and how large it may be."""

import json

import pytest
from backports import zstd
from hostmeter_agent.wire import INFLATED_BYTES_MAX, TRANSFERRED_BYTES_MAX

from tests.metering.delivering import Agent, batch
from tests.metering.test_enrolment import problem
from tests.metering.test_ingest import COMPRESSORS, accepted, errors


class TestBody:
    def test_in_another_type_or_coding_is_not_supported(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode()
        assert agent.post(body, content_type="text/plain").status_code == 415
        assert agent.post(body, coding="br").status_code == 415
        assert agent.post(body, coding="gzip, zstd").status_code == 415
        fine = agent.post(body, content_type="application/json; charset=UTF-8")
        assert fine.status_code == 200

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_that_does_not_decode_is_malformed(self, agent: Agent, coding: str) -> None:
        compress = COMPRESSORS[coding]
        whole = compress(json.dumps(batch()).encode())
        for body in (b"plain", whole[:-5], whole + b"tail", whole[:10]):
            assert agent.post(body, coding=coding).status_code == 400

    def test_may_be_8_mib_as_transferred_and_no_more(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode()
        assert accepted(agent.post(body.ljust(TRANSFERRED_BYTES_MAX)))["stored"] == 1
        answer = agent.post(body.ljust(TRANSFERRED_BYTES_MAX + 1))
        assert answer.status_code == 413
        problem(answer)

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_may_be_64_mib_inflated_and_no_more(self, agent: Agent, coding: str) -> None:
        compress = COMPRESSORS[coding]
        body = json.dumps(batch()).encode()
        at_most = compress(body.ljust(INFLATED_BYTES_MAX))
        assert accepted(agent.post(at_most, coding=coding))["stored"] == 1
        over = compress(body.ljust(INFLATED_BYTES_MAX + 1))
        assert agent.post(over, coding=coding).status_code == 413

    def test_is_not_even_decoded_when_it_holds_millions_of_values(self, agent: Agent) -> None:
        body = zstd.compress(b'{"samples": [' + b"[]," * 3_000_000 + b"[]]}")
        assert errors(agent.post(body, coding="zstd")) == [(None, "samples")]
