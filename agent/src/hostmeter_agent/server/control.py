"""The desired state's way to this agent and its answer: fetch, check, apply, report."""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from hostmeter_agent import __version__
from hostmeter_agent.config import Config
from hostmeter_agent.server import rotation
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.server.desired import (
    NOTE,
    DesiredInvalid,
    effective,
    objections,
    parse_desired,
)
from hostmeter_agent.server.grace import note_refreshed, overdue
from hostmeter_agent.server.rotation import RotationRefused
from hostmeter_agent.server.transport import Answer, ServerUnreachable
from hostmeter_agent.wire_control import (
    APPLIED_STATE_PATH,
    DESIRED_STATE_PATH,
    ERRORS_MAX,
    PROBES_MAX,
    TEXT_LENGTH_MAX,
    version_of,
)

log = logging.getLogger("hostmeter_agent")

FETCH_SECONDS: Final = 60.0
ROTATION_RETRY_SECONDS: Final = 3_600.0
_REPORT: Final = "report"
_ETAG_LENGTH_MAX: Final = 80


@dataclass(slots=True)
class Control:
    """Keeps this agent as its server wishes.

    config: the file's; apply: called with what the agent is to do, from the delivery's thread;
    probe_states: what each probe says of itself.
    """

    channel: Channel
    config: Config
    apply: Callable[[Config], None] = lambda _: None
    probe_states: Callable[[], dict[str, str]] = dict
    due_at: float = 0.0
    _rotation_due_at: float = 0.0
    _said: str = ""
    _overdue: bool = False
    _objected: list[str] = field(default_factory=list)

    def step(self, now: float) -> None:
        """Fetch, apply, report and rotate the key, where that is due. What fails is tried again:
        delivering does not depend on it. Raises SpoolUnusable and StateUnusable."""
        if 0 < self.due_at - now <= 2 * FETCH_SECONDS:
            return
        # Spread at random, so that a fleet does not come all at once.
        self.due_at = now + FETCH_SECONDS * (0.8 + 0.4 * random.random())  # noqa: S311
        try:
            refusal = self._fetch(now)
            self._report(refusal, now)
            self._rotate(now)
        except ServerUnreachable as error:
            self._say(f"the desired state was not fetched: {error}")
        self._judge_grace(now)

    def _judge_grace(self, now: float) -> None:
        """Say once that the policy's grace is over."""
        words = overdue(self.channel.spool, now)
        if words and not self._overdue:
            log.error("%s", words)
        self._overdue = bool(words)

    def _say(self, text: str) -> None:
        """Once, until something else is to be said."""
        if text != self._said:
            log.warning("%s", text)
        self._said = text

    def _fetch(self, now: float) -> tuple[str, str] | None:
        """(tag, why) of a state that is refused; else None."""
        note = self.channel.spool.note(NOTE)
        tag = {"If-None-Match": note["etag"]} if note is not None else {}
        answer = self.channel.send("GET", DESIRED_STATE_PATH, b"", tag, now=now)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            note_refreshed(self.channel.spool, now)
            return None
        if answer.status != HTTPStatus.OK:
            self._say(f"the desired state was not fetched: {self._reason(answer)}")
            return None
        etag = answer.etag or ""
        try:
            if not 1 <= len(etag) <= _ETAG_LENGTH_MAX or not etag.isprintable():
                raise DesiredInvalid("it has no entity tag")
            desired = parse_desired(answer.body)
        except DesiredInvalid as error:
            self._say(f"the desired state is refused: {error}")
            return etag[:_ETAG_LENGTH_MAX], str(error)
        self.channel.spool.take_notes({NOTE: {"etag": etag, "body": answer.body.decode()}})
        note_refreshed(self.channel.spool, now)
        self.apply(effective(self.config, desired))
        log.info("the desired state %s is applied", etag)
        return None

    def _reason(self, answer: Answer) -> str:
        return f"{self.channel.server.url} answered {answer.status}: {self.channel.reason(answer)}"

    def _report(self, refusal: tuple[str, str] | None, now: float) -> None:
        """Tell the server what became of its wishes, when that has changed."""
        spool = self.channel.spool
        note = spool.note(NOTE)
        if note is None and refusal is None:
            return
        desired = last_good(spool)
        wanted = desired.minimum_version if desired is not None else ""
        is_too_old = version_of(__version__) < version_of(wanted) if wanted else False
        errors = objections(self.config, desired, is_too_old=is_too_old)
        for text in errors if errors != self._objected else ():
            log.error("%s", text)
        self._objected = errors
        report: dict[str, object] = {
            "etag": refusal[0] if refusal else str((note or {}).get("etag", "")),
            "refused": refusal is not None,
            "agent_version": __version__[:40],
            "errors": [_line(text) for text in ([refusal[1]] if refusal else []) + errors][
                :ERRORS_MAX
            ],
            "probes": {
                name: _line(text) for name, text in list(self.probe_states().items())[:PROBES_MAX]
            },
        }
        if desired is not None and desired.policy:
            report["policy"] = desired.policy
        if spool.note(_REPORT) == report:
            return
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        body = json.dumps(report | {"applied_at": at}).encode()
        headers = {"Content-Type": "application/json"}
        answer = self.channel.send("PUT", APPLIED_STATE_PATH, body, headers, now=now)
        if answer.status == HTTPStatus.NO_CONTENT:
            spool.take_notes({_REPORT: report})
        else:
            self._say(f"the applied state was not taken: {self._reason(answer)}")

    def _rotate(self, now: float) -> None:
        days = effective(self.config, last_good(self.channel.spool)).key_rotation_days
        begun = self.channel.spool.note("next-key") is not None
        if not begun and not rotation.is_due(self.channel, days=days, now=now):
            return
        if 0 < self._rotation_due_at - now <= ROTATION_RETRY_SECONDS:
            return
        self._rotation_due_at = now + ROTATION_RETRY_SECONDS
        try:
            rotation.rotate(self.channel, now=now)
            self._rotation_due_at = 0.0
        except RotationRefused as error:
            log.error("%s", error)


def _line(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain[:TEXT_LENGTH_MAX]
