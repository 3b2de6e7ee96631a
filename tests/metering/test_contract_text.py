"""Text at the contract's edges: names, instants, and JSON that is hardly JSON."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metering.models import Application, Sample
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample
from tests.metering.test_ingest import accepted, errors, nothing_stored

START = last_bucket()


def spelt(document: dict[str, Any], text: bytes) -> bytes:
    """The document with these bytes where it has "@"."""
    return json.dumps(document).encode().replace(b'"@"', text)


class TestAName:
    @pytest.mark.parametrize("name", ["x", "é" * 200, "😀" * 200, " ", "a\u2028b", "\U0010ffff"])
    def test_of_up_to_200_characters_is_kept_as_sent(self, agent: Agent, name: str) -> None:
        accepted(agent.deliver(batch(sample(application=name))))
        with tenant_scope(agent.tenant.pk):
            assert Application.objects.get().name == name

    @pytest.mark.parametrize("name", ["😀" * 201, "a\x1f", "\x7f", "a\x80", "a\x9f", "a\n", "\x00"])
    @pytest.mark.parametrize("field", ["application", "instance"])
    def test_that_is_longer_or_has_control_characters_is_refused(
        self, agent: Agent, field: str, name: str
    ) -> None:
        assert errors(agent.deliver(batch(sample(**{field: name})))) == [(0, field)]


class TestAMeter:
    @pytest.mark.parametrize("name", ["m" * 65, "é", "a b", "a\n", "a\x00", "cpu/time"])
    def test_of_another_name_is_named(self, agent: Agent, name: str) -> None:
        assert errors(agent.deliver(batch(sample(usage={name: 1})))) == [(0, f"usage.{name}")]


def spans(start: str, end: str) -> list[str]:
    day, hour = START.strftime("%Y-%m-%d"), START.strftime("%H:%M")
    return [text.replace("DAY", day).replace("HOUR", hour) for text in (start, end)]


class TestAWindow:
    @pytest.mark.parametrize(
        "window",
        [
            spans("DAYtHOUR:00z", "DAYtHOUR:10z"),
            spans("DAYTHOUR:00-00:00", "DAYTHOUR:10.000000000Z"),
            [
                (START + timedelta(hours=5, minutes=45)).strftime("%Y-%m-%dT%H:%M:%S+05:45"),
                (START + timedelta(seconds=10)).isoformat(),
            ],
        ],
    )
    def test_may_be_spelt_in_any_way_of_rfc_3339(self, agent: Agent, window: list[str]) -> None:
        accepted(agent.deliver(batch(sample(window=window))))
        with tenant_scope(agent.tenant.pk):
            stored = Sample.objects.get()
        assert (stored.window_start, stored.window_end) == (START, START + timedelta(seconds=10))

    @pytest.mark.parametrize(
        "window",
        [
            ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.5Z"],
            ["9999-12-31T23:59:50-10:00", "9999-12-31T23:59:59-10:00"],
            ["0000-01-01T00:00:00Z", "0000-01-01T00:00:10Z"],
            ["10000-01-01T00:00:00Z", "10000-01-01T00:00:10Z"],
            ["2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z"],
            spans("DAYTHOUR:00", "DAYTHOUR:10"),
            spans("DAYTHOUR:00+00", "DAYTHOUR:10+00"),
            spans("DAY", "DAY"),
            spans("DAYTHOUR:00.0000001Z", "DAYTHOUR:00.0000002Z"),
            spans("DAYTHOUR:00Z", "DAYTHOUR:10Z "),
            [START.timestamp(), START.timestamp() + 10],
            ["", ""],
        ],
    )
    def test_that_is_none_is_refused(self, agent: Agent, window: list[Any]) -> None:
        assert errors(agent.deliver(batch(sample(window=window)))) == [(0, "window")]

    @pytest.mark.parametrize(("seconds", "status"), [(590, 200), (605, 422)])
    def test_may_end_10_minutes_ahead(self, agent: Agent, seconds: int, status: int) -> None:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        window = [(end - timedelta(microseconds=1)).isoformat(), end.isoformat()]
        assert agent.deliver(batch(sample(window=window))).status_code == status


class TestJson:
    @pytest.mark.parametrize("field", ["application", "environment", "unknown"])
    @pytest.mark.parametrize(
        "text",
        [
            b'"\xff"',
            b'"\xc0\x80"',
            b'"\xed\xa0\x80"',
            b'"\xc3"',
            b'"\\ud800"',
            b'"\\udc00\\ud800"',
            b'"a\nb"',
            b"NaN",
            b'{"a":' * 100_000,
        ],
    )
    def test_that_is_not_well_formed_anywhere_is_malformed(
        self, agent: Agent, field: str, text: bytes
    ) -> None:
        body = spelt(batch(sample(**{field: "@"})), text)
        assert agent.post(body).status_code == 400
        assert nothing_stored(agent)

    def test_that_is_cut_inside_a_character_is_malformed(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode()
        assert agent.post(body + b"\xc3").status_code == 400

    @pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32"])
    def test_is_utf_8_without_a_mark(self, agent: Agent, coding: str) -> None:
        assert agent.post(json.dumps(batch()).encode(coding)).status_code == 400

    @pytest.mark.parametrize("body", [b"null", b"1", b'"x"', b"true", b"[]"])
    def test_of_another_kind_is_out_of_contract(self, agent: Agent, body: bytes) -> None:
        assert errors(agent.post(body)) == [(None, "")]

    def test_with_a_long_text_beyond_ascii_is_taken(self, agent: Agent) -> None:
        body = json.dumps(batch(note="a" + "é" * 1_100_000), ensure_ascii=False).encode()
        assert accepted(agent.post(body))["stored"] == 1
