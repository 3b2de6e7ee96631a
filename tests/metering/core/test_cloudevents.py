"""A CloudEvent is read as the page says, and whatever is wrong with it is said."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.core.cloudevents import (
    BATCHED,
    EVENTS_PER_BATCH_MAX,
    STRUCTURED,
    NotCloudEvents,
    RefusedEvent,
    UsageEvent,
    parse_event,
    parse_events,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "https://mail.example/queue",
        "type": "hostmeter.usage.v1",
        "subject": "production/mail",
        "time": "2026-11-25T11:59:58+01:00",
        "data": {"meter": "mails.sent", "quantity": 3, "recipient": "a@b.example"},
    } | changes


def read(**changes: Any) -> UsageEvent:
    parsed = parse_event(event(**changes), as_of=NOW)
    assert isinstance(parsed, UsageEvent), parsed
    return parsed


def data(**changes: Any) -> dict[str, Any]:
    return {"meter": "m", "quantity": 1} | changes


class TestAnEvent:
    def test_says_what_was_used_when(self) -> None:
        parsed = read()
        assert (parsed.environment, parsed.application) == ("production", "mail")
        assert parsed.time == datetime(2026, 11, 25, 10, 59, 58, tzinfo=UTC)
        assert (parsed.meter, parsed.quantity) == ("mails.sent", 3)
        assert parsed.properties == {"recipient": "a@b.example"}

    def test_is_the_same_in_another_notation(self) -> None:
        again = read(time="2026-11-25T10:59:58.000Z", traceparent="00-1", id="2", source="s")
        assert again.digest == read().digest

    @pytest.mark.parametrize(
        "changes",
        [
            {"subject": "production/shop"},
            {"time": "2026-11-25T11:59:59+01:00"},
            {"data": data(meter="mails.sent", quantity=4, recipient="a@b.example")},
            {"data": data(meter="mails.sent", quantity=3)},
        ],
    )
    def test_is_another_with_other_content(self, changes: dict[str, Any]) -> None:
        assert read(**changes).digest != read().digest

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"specversion": "0.3"}, "specversion"),
            ({"id": ""}, "id"),
            ({"source": "x" * 201}, "source"),
            ({"source": "\ud800"}, "source"),
            ({"id": "a\u0000"}, "id"),
            ({"type": "other"}, "type"),
            ({"datacontenttype": "text/xml"}, "datacontenttype"),
            ({"subject": "mail"}, "subject"),
            ({"subject": "/mail"}, "subject"),
            ({"subject": None}, "subject"),
            ({"time": None}, "time"),
            ({"time": "2026-11-25"}, "time"),
            ({"time": "2026-11-25T11:59:58"}, "time"),
            ({"time": "2026-02-30T11:59:58Z"}, "time"),
            ({"time": "0001-01-01T00:00:00+10:00"}, "time"),
            ({"time": "2025-10-01T00:00:00Z"}, "400 days"),
            ({"time": "2026-11-25T12:10:01Z"}, "600 s"),
            ({"data": None}, "data"),
            ({"data": data(meter="A b")}, "meter"),
            ({"data": data(quantity=-1)}, "quantity"),
            ({"data": data(quantity=2**63)}, "quantity"),
            ({"data": data(quantity=1.0)}, "quantity"),
            ({"data": data(quantity=True)}, "quantity"),
            ({"data": data(user=["a"])}, "data.user"),
            ({"data": data(user=0.5)}, "data.user"),
            ({"data": data(user="x" * 201)}, "data.user"),
            ({"data": data(**{"a b": 1})}, "property's name"),
            ({"data": data(**{f"p{n}": n for n in range(33)})}, "32 properties"),
        ],
    )
    def test_is_refused_with_the_reason(self, changes: dict[str, Any], reason: str) -> None:
        refused = parse_event(event(**changes), as_of=NOW)
        assert isinstance(refused, RefusedEvent)
        assert reason in refused.reason

    def test_lies_within_the_wire_contracts_time(self) -> None:
        for time in (NOW - timedelta(days=400), NOW + timedelta(seconds=600)):
            assert read(time=time.isoformat()).time == time

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
        st.sampled_from(["", *event()]),
    )
    def test_of_any_json_is_read_or_refused(self, value: Any, attribute: str) -> None:
        document = event(**{attribute: value}) if attribute else value
        assert isinstance(parse_event(document, as_of=NOW), UsageEvent | RefusedEvent)


class TestABody:
    def test_holds_one_or_several(self) -> None:
        one = parse_events(json.dumps(event()).encode(), STRUCTURED, as_of=NOW)
        body = json.dumps([event(), 5]).encode()
        several = parse_events(body, f"{BATCHED}; charset=utf-8", as_of=NOW)
        assert one == [read()]
        assert several == [read(), RefusedEvent(None, None, "an event is a JSON object")]

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"{", STRUCTURED),
            (b"\xff", STRUCTURED),
            (b"NaN", STRUCTURED),
            (b"[" * 100_000, BATCHED),
            (b"{}", BATCHED),
            (b"{}", "application/json"),
            (json.dumps([1] * (EVENTS_PER_BATCH_MAX + 1)).encode(), BATCHED),
        ],
    )
    def test_that_is_none_of_these_is_refused(self, body: bytes, kind: str) -> None:
        with pytest.raises(NotCloudEvents):
            parse_events(body, kind, as_of=NOW)


def test_an_instant_of_any_offset_is_read_in_utc() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert read(time=local.isoformat()).time == NOW


class TestEventsFromOutside:
    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"source": f"hostmeter/allocation/{UUID(int=1)}"}, "source may not begin"),
            ({"data": data(meter="cpu.time.allocated")}, "posted by allocation alone"),
            ({"data": data(quantity=-1)}, "integer from 0"),
        ],
    )
    def test_state_no_allocation(self, changed: dict[str, object], reason: str) -> None:
        refused = parse_event(event(**changed), as_of=NOW)
        assert isinstance(refused, RefusedEvent)
        assert reason in refused.reason
