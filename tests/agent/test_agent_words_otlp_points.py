"""OTLP requests are read as their senders mean them."""

import json

from hostmeter_agent.words.otlp_points import (
    Point,
    RequestMalformed,
    json_points,
    protobuf_points,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.otlp_requests import (
    END,
    GOLDEN,
    NANO,
    START,
    attribute,
    double,
    fixed,
    message,
    number,
    orders,
    point,
    request,
    sum_of,
)


class TestARequest:
    def test_of_the_reference_encoder_is_read_to_the_last_field(self) -> None:
        names = {"orders", "duration", "exponential", "sessions"}
        resource = {"service.name": "shop", "host.cpus": "-4"}
        times = (START, END)
        assert list(protobuf_points(GOLDEN, names)) == [
            Point("orders", "cumulative", True, *times, 42 * NANO, resource, {"region": "eu"}),
            Point("orders", "cumulative", True, *times, NANO // 4, resource, {"paid": "true"}),
            Point("duration", "delta", True, *times, 7 * NANO, resource, {"code": "200"}),
            Point("exponential", "cumulative", True, *times, 9 * NANO, resource, {"ratio": "0.5"}),
            Point("sessions", "gauge", False, 0, END, 3 * NANO, resource, {}),
        ]

    def test_in_protobuf_is_read_field_by_field(self) -> None:
        histogram = message(1, b"http.server.request.duration") + message(
            9,
            message(1, fixed(2, START) + fixed(3, END) + fixed(4, 7) + double(5, 0.5)
                    + attribute(9, "code", "200"))
            + number(2, 1),
        )  # fmt: skip
        fraction = sum_of("orders", point(double(4, 0.1)))
        level = sum_of("sessions", point(fixed(6, -3)), monotonic=False)
        names = {"orders", "sessions", "http.server.request.duration"}
        other = sum_of("other", point(fixed(6, 1)))
        found = list(protobuf_points(request(histogram, fraction, level, other), names))
        resource = {"service.name": "shop"}
        assert found == [
            Point("http.server.request.duration", "delta", True, START, END, 7 * NANO, resource,
                  {"code": "200"}),
            Point("orders", "cumulative", True, START, END, NANO // 10, resource, {}),
            Point("sessions", "gauge", False, START, END, -3 * NANO, resource, {}),
        ]  # fmt: skip

    def test_in_json_is_the_same(self) -> None:
        body = {
            "resourceMetrics": [{
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeMetrics": [{"metrics": [
                    {"name": "orders", "sum": {
                        "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                        "isMonotonic": True, "dataPoints": [{
                            "startTimeUnixNano": str(START), "timeUnixNano": str(END),
                            "asInt": "42",
                            "attributes": [{"key": "ok", "value": {"boolValue": True}}]}]}},
                    {"name": "orders", "histogram": {
                        "aggregationTemporality": 1, "dataPoints": [{
                            "timeUnixNano": str(END), "count": "3", "sum": 1.5}]}},
                    {"name": "sessions", "gauge": {"dataPoints": [
                        {"timeUnixNano": END, "asDouble": 2.5},
                        {"timeUnixNano": END, "flags": 1}]}}]}]}],
        }  # fmt: skip
        resource = {"service.name": "shop"}
        assert list(json_points(json.dumps(body).encode(), {"orders", "sessions"})) == [
            Point("orders", "cumulative", True, START, END, 42 * NANO, resource, {"ok": "true"}),
            Point("orders", "delta", True, 0, END, 3 * NANO, resource, {}),
            Point("sessions", "gauge", False, 0, END, 5 * NANO // 2, resource, {}),
        ]

    @settings(deadline=None)
    @given(st.binary(max_size=200), st.integers(0, 120))
    def test_that_is_torn_or_damaged_is_refused_or_read_but_breaks_nothing(
        self, noise: bytes, cut: int
    ) -> None:
        body = orders(5)
        for given_body in (noise, body[:cut], body[:cut] + noise + body[cut:]):
            for read in (protobuf_points, json_points):
                try:
                    list(read(given_body, {"orders"}))
                except RequestMalformed as refused:
                    assert "\n" not in str(refused)  # noqa: PT017
