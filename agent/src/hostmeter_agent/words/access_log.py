"""Transactions and principals from the applications' access logs."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words import following, principals
from hostmeter_agent.words.config import AccessLog
from hostmeter_agent.words.following import Follower, LogStep
from hostmeter_agent.words.log_format import Entry, LineReader
from hostmeter_agent.words.log_state import LogState, decode_log
from hostmeter_agent.words.methods import claims_of, method
from hostmeter_agent.words.patience import NOTHING, Patience, TookTooLong
from hostmeter_agent.words.principals import Arrivals, Presence, Present

log = logging.getLogger("hostmeter_agent")

UNPARSED: Final = "unparsed-lines"
MISSING: Final = "log-missing"
CAPPED: Final = "principals-capped"
WARMING: Final = "principals-since-less"
UNPARSED_METER: Final = "access_log.unparsed"
_NAMED_MAX: Final = 4_096
_SLOW_MAX: Final = 3
"""Lines that may take too long in one step; the others are then not looked at."""
_SHORT: Final = frozenset(
    {following.TRUNCATED, following.LOST, following.TOO_MANY, following.BEHIND, UNPARSED, MISSING}
)
"""Marks with which there can have been more than was counted."""


@dataclass(slots=True)
class _Told:
    """What the logs of one application told in a step. silent: none of them could be read."""

    transactions: int = 0
    unparsed: int = 0
    silent: bool = True
    marks: set[str] = field(default_factory=set)
    arrivals: Arrivals = field(default_factory=Arrivals)


class _Rule:
    """One rule and the log that it reads."""

    def __init__(self, rule: AccessLog) -> None:
        self.rule = rule
        self.key = f"{rule.application}\n{rule.path}"
        self.follower = Follower(rule.path, rule.bytes_per_scan)
        self._reader = LineReader(rule)
        self._said = ""
        self._patience = Patience()
        self._slow = 0
        # Of all pieces of the log: lines of two of them must not be taken for one that lasts.
        self._read = NOTHING
        self._named: set[tuple[str | None, int | None]] = set()

    @property
    def meters(self) -> list[str]:
        users = ["users.concurrent"] if self.rule.user is not None else []
        return ["transactions", *users] if self.rule.transactions else users

    def read(
        self, former: LogState | None, told: _Told, present: Present, now_s: int, elapsed_ms: int
    ) -> LogState | None:
        """Add what is new to `told`; the new state, or the former where nothing can be read."""

        def take(lines: list[bytes]) -> None:
            self._take(lines, told, present, now_s)

        before = told.transactions, told.unparsed
        self._named.clear()
        self._slow = 0
        try:
            with self._patience.watching():
                step = self.follower.read(former, take, elapsed_ms=elapsed_ms)
        except OSError as error:
            self._say(f"cannot be read: {error.strerror}")
            # What was read before that comes again with all that `former` has yet to tell.
            told.transactions, told.unparsed = before
            told.marks.add(MISSING)
            return former
        told.unparsed += step.overlong
        self._judge(step, told, first=former is None)
        if self._slow:
            self._say(f"{self._slow} lines took too long to be looked at")
        elif (more := told.unparsed - before[1]) > 0:
            self._say(f"{more} lines are not in the format {self.rule.format}")
        return step.state

    def _judge(self, step: LogStep, told: _Told, *, first: bool) -> None:
        told.marks |= step.marks
        if first or not step.present:
            told.marks.add(MISSING)
        else:
            told.silent = False
        if not step.state.files:
            self._say("there is no such file (yet)")

    def _say(self, what: str) -> None:
        """Once for each kind of trouble; what a line holds never goes to the agent's log."""
        if what.lstrip("0123456789") != self._said:
            log.warning("access log of %s, %s: %s", self.rule.application, self.rule.path, what)
        self._said = what.lstrip("0123456789")

    def _take(self, lines: list[bytes], told: _Told, present: Present, now_s: int) -> None:
        for line in lines:
            if not line:
                continue
            entry = self._entry(line)
            if entry is None:
                told.unparsed += 1
            elif entry.counts:
                told.transactions += self.rule.transactions
                named = (entry.user, entry.at_s)
                if entry.user is not None and named not in self._named:
                    self._note(named)
                    one = present.hash_of(entry.user)
                    at_s = now_s if entry.at_s is None else entry.at_s
                    told.arrivals.add(one, at_s=at_s, active_seconds=self.rule.active_seconds)

    def _entry(self, line: bytes) -> Entry | None:
        """What a line says; None also where it takes too long, or where too many have."""
        if self._slow >= _SLOW_MAX:
            return None
        try:
            self._read += 1
            self._patience.line = self._read
            entry = self._reader.entry(line)
            self._patience.line = NOTHING
        except TookTooLong:
            self._patience.line = NOTHING
            self._slow += 1
            return None
        return entry

    def _note(self, named: tuple[str | None, int | None]) -> None:
        """Who was named at a second in this step need not be hashed again."""
        if len(self._named) >= _NAMED_MAX:
            self._named.clear()
        self._named.add(named)


class AccessLogProbe(Probe):
    """Counts the lines of access logs, and who is present by them."""

    name = "access-log"

    def __init__(
        self, rules: Iterable[AccessLog], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._rules = [_Rule(rule) for rule in rules]
        self._clock = clock
        self.claims = claims_of(
            (one.rule.application, meter) for one in self._rules for meter in one.meters
        )

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        """The lines since `former`, which is this probe's own state."""
        state: dict[str, Any] = former if isinstance(former, dict) else {}
        logs, kept = state.get("logs", {}), state.get("principals", {})
        now_s = int(self._clock())
        told: dict[str, _Told] = {}
        present: dict[str, Present] = {}
        new_logs: dict[str, object] = {}
        for one in self._rules:
            name = one.rule.application
            if name not in present:
                present[name] = self._present(kept.get(name), name, now_s)
            known = decode_log(logs[one.key]) if one.key in logs else None
            so_far = told.setdefault(name, _Told())
            after = one.read(known, so_far, present[name], now_s, elapsed_ms)
            if after is not None:
                new_logs[one.key] = after.encode()
        users: dict[str, object] = {}
        readings = Readings(state={"logs": new_logs, "principals": users})
        for name, what in told.items():
            self._report_transactions(readings, name, what)
            if any(rule.user is not None for rule in self._of(name)):
                start_s = now_s - elapsed_ms // 1_000
                presence = principals.advance(
                    present[name], what.arrivals, start_s=start_s, now_s=now_s
                )
                users[name] = presence.present.encode()
                self._report_users(readings, name, what, presence, now_s)
        return readings

    def stored(self) -> None:
        for one in self._rules:
            one.follower.stored()

    def close(self) -> None:
        for one in self._rules:
            one.follower.close()

    def _of(self, name: str) -> list[AccessLog]:
        return [one.rule for one in self._rules if one.rule.application == name]

    def _present(self, kept: dict[str, Any] | None, name: str, now_s: int) -> Present:
        if kept is None:
            return principals.nobody(now_s=now_s)
        longest = max(rule.active_seconds for rule in self._of(name))
        return principals.decode(kept, until_s_max=now_s + longest)

    def _report_transactions(self, readings: Readings, name: str, told: _Told) -> None:
        rules = self._of(name)
        if told.marks:
            readings.marks.setdefault(name, set()).update(told.marks)
        if told.unparsed:
            readings.marks.setdefault(name, set()).add(UNPARSED)
            readings.counters.setdefault(name, {})[UNPARSED_METER] = told.unparsed
            readings.measured.setdefault(name, {})[UNPARSED_METER] = Measured(
                "exact", method(self.name, rules[0].version)
            )
        if any(rule.transactions for rule in rules):
            quality = _quality(told, counted=bool(told.transactions))
            if quality != "unavailable":
                readings.counters.setdefault(name, {})["transactions"] = told.transactions
            readings.measured.setdefault(name, {})["transactions"] = Measured(
                quality, method(self.name, rules[0].version)
            )

    def _report_users(
        self, readings: Readings, name: str, told: _Told, presence: Presence, now_s: int
    ) -> None:
        longest = max(rule.active_seconds for rule in self._of(name))
        marks = {CAPPED} if presence.capped else set()
        if now_s < presence.present.since_s + longest:
            marks.add(WARMING)
        quality = _quality(told, counted=bool(presence.peak), marks=marks)
        readings.measured.setdefault(name, {})["users.concurrent"] = Measured(
            quality, method("principals", self._of(name)[0].version)
        )
        if marks:
            readings.marks.setdefault(name, set()).update(marks)
        if quality != "unavailable":
            readings.gauges.setdefault(name, {})["users.concurrent"] = presence.value
            readings.maxima.setdefault(name, {})["users.concurrent"] = presence.peak


def _quality(told: _Told, *, counted: bool, marks: Iterable[str] = ()) -> Quality:
    if told.silent and not counted:
        return "unavailable"
    short = told.marks & _SHORT or told.unparsed or any(marks)
    return "lower_bound" if short else "exact"
