"""Meters from what applications send by OTLP."""

import json
import logging
import time
from pathlib import Path
from typing import Any, Final

from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.wire import kind_of
from hostmeter_agent.words.amounts import Carry, rounded
from hostmeter_agent.words.config import Metric, OtlpInlet
from hostmeter_agent.words.journal import Journal, JournalUnusable
from hostmeter_agent.words.local_sockets import InletUnusable
from hostmeter_agent.words.methods import claims_of, method
from hostmeter_agent.words.otlp_inlet import OtlpServer, Reply
from hostmeter_agent.words.otlp_points import (
    POINTS_MAX,
    Point,
    RequestMalformed,
    json_points,
    protobuf_points,
)
from hostmeter_agent.words.otlp_series import (
    BEGINS,
    LATE,
    TOO_MANY,
    Fold,
    Mapping,
    Row,
    Series,
    Target,
)

log = logging.getLogger("hostmeter_agent")

RESTARTED: Final = "inlet-restarted"
CLOSED: Final = "inlet-closed"
_SHORT: Final = frozenset({BEGINS, LATE, TOO_MANY, RESTARTED})
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
JSON_BYTES_MAX: Final = 2 << 20
"""Inflated. As objects of Python's, JSON takes up to thirty times as much memory."""


class OtlpProbe(Probe):
    """Each request is answered when its points are in the journal; a scan takes them from there
    and, once it is stored, they leave it."""

    name = "otlp"

    def __init__(self, inlet: OtlpInlet, metrics: tuple[Metric, ...], journal: Path) -> None:
        self._inlet = inlet
        self._metrics = {(one.application, one.meter): one for one in metrics}
        self.claims = claims_of(self._metrics)
        self._mapping = Mapping(metrics)
        self._journal: Journal | None = None
        self._server: OtlpServer | None = None
        self._read_up_to = 0
        self._begins_after = 0
        self._fresh = True
        try:
            self._journal = Journal(journal)
            # Without a state (the inlet was off, the host is enrolled anew) what lies there
            # belongs to another time, or another host, and may have been counted then.
            self._begins_after = self._journal.last
            self._server = OtlpServer(inlet, self._handle)
        except (InletUnusable, JournalUnusable) as error:
            log.error("no OTLP is taken: %s", error)

    def _handle(self, kind: str, body: bytes) -> Reply:
        """In a thread of the server: keep a request's points, then answer."""
        if kind not in (_PROTOBUF, _JSON):
            return Reply(415)
        if kind == _JSON and len(body) > JSON_BYTES_MAX:
            return Reply(413)
        read = protobuf_points if kind == _PROTOBUF else json_points
        try:
            points: list[Point] = []
            for point in read(body, self._mapping.names):
                points.append(point)
                if len(points) > POINTS_MAX:
                    return Reply(413)
        except RequestMalformed as error:
            return Reply(400, str(error).encode())
        rows = self._mapping.rows(points)
        try:
            if rows and self._journal is not None:
                self._journal.append([row.encode() for row in rows])
        except JournalUnusable as error:
            log.error("otlp: %s", error)
            return Reply(503)
        return Reply(200, b"" if kind == _PROTOBUF else b"{}", kind)

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        """What the journal adds to `former`, this probe's own state."""
        state: dict[str, Any] = former if isinstance(former, dict) else {}
        fold = _fold_of(state, self._metrics)
        fold.age(elapsed_ms)
        carry = Carry(state.get("carry", {}))
        name, number = state.get("journal", ["", 0])
        if self._journal is not None:
            if former is None:
                number = self._begins_after
            elif name != self._journal.name:
                number = 0
            name = self._journal.name
            for entry_number, rows in self._journal.after(number):
                number = entry_number
                for row in rows:
                    fold.add(Row(*row))
        self._read_up_to = number
        readings = self._readings(fold, carry)
        readings.state = {
            "journal": [name, number],
            "since": [[*target, since] for target, since in fold.since_ns.items()],
            "floor": fold.floor_ns,
            "carry": carry.kept,
            "series": {digest: series.encode() for digest, series in fold.series.items()},
        }
        # The state is written as JSON: what is changed later must not change it.
        readings.state = json.loads(json.dumps(readings.state))
        return readings

    def stored(self) -> None:
        self._fresh = False
        if self._journal is not None:
            try:
                self._journal.forget(self._read_up_to)
            except JournalUnusable as error:
                log.error("otlp: %s", error)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._journal is not None:
            self._journal.close()

    def _readings(self, fold: Fold, carry: Carry) -> Readings:
        readings = Readings()
        gauges = fold.gauges(stale_ms=self._inlet.stale_seconds * 1_000)
        for target, metric in self._metrics.items():
            application, meter = target
            kinds = {
                series.kind
                for series in fold.series.values()
                if any((one[0], one[1]) == target for one in series.targets)
            }
            marks = set(fold.marks.get(target, ()))
            if self._server is None:
                marks.add(CLOSED)
            elif self._fresh and "delta" in kinds:
                marks.add(RESTARTED)
            quality: Quality = "lower_bound" if marks & _SHORT else "exact"
            if kind_of(meter) == "gauge":
                known = target in gauges and self._server is not None
                if known:
                    readings.gauges.setdefault(application, {})[meter] = rounded(gauges[target])
            else:
                known = bool(kinds) and (self._server is not None or target in fold.counters)
                if known:
                    whole = carry.whole(f"{application}\n{meter}", fold.counters.get(target, 0))
                    readings.counters.setdefault(application, {})[meter] = whole
            readings.measured.setdefault(application, {})[meter] = Measured(
                quality if known else "unavailable", method(self.name, metric.version)
            )
            if marks:
                readings.marks.setdefault(application, set()).update(marks)
        return readings


def _fold_of(state: dict[str, Any], metrics: dict[Target, Metric]) -> Fold:
    now_ns = time.time_ns()
    since = {(row[0], row[1]): int(row[2]) for row in state.get("since", [])}
    series = {digest: Series(*row) for digest, row in state.get("series", {}).items()}
    since_ns = {target: since.get(target, now_ns) for target in metrics}
    return Fold(series, since_ns, int(state.get("floor", 0)))
