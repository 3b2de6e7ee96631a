"""The signed channel: every request to the server but the enrolment goes through it."""

import time
from dataclasses import dataclass, field
from http import HTTPStatus

from hostmeter_agent.server.clocks import ClockWatch, skew_seconds
from hostmeter_agent.server.keyring import HostKey, Keyring
from hostmeter_agent.server.signing import signed_headers
from hostmeter_agent.server.transport import Answer, Server
from hostmeter_agent.store.spool import Spool

CLOCK = "clock"


@dataclass(slots=True)
class Channel:
    """One server, as this host."""

    server: Server
    keyring: Keyring
    clocks: ClockWatch = field(default_factory=ClockWatch)

    @property
    def spool(self) -> Spool:
        return self.keyring.spool

    def send(
        self, method: str, path: str, body: bytes, headers: dict[str, str], *, now: float
    ) -> Answer:
        """One of the contract's paths, signed anew. A 401 under a new key is asked again under
        the former one, which the server may know alone. now: seconds since the epoch.

        Raises ServerUnreachable, SpoolUnusable and StateUnusable.
        """
        key = self.keyring.current()
        answer = self._attempt(key, method, path, body, headers, now)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            self.keyring.accepted(key, now=now)
            return answer
        former = self.keyring.former()
        if former is None or self.clocks.refusal_hint():
            return answer
        second = self._attempt(former, method, path, body, headers, now)
        if second.status < HTTPStatus.INTERNAL_SERVER_ERROR and second.status != answer.status:
            self.keyring.turn_back()
        return second

    def _attempt(
        self, key: HostKey, method: str, path: str, body: bytes, headers: dict[str, str],
        now: float,
    ) -> Answer:  # fmt: skip
        path = self.server.path(path)
        signed = signed_headers(
            key.private, key.key_id, method=method, path=path, body=body, created=now
        )
        began = time.monotonic()
        answer = self.server.send(method, path, body, {**headers, **signed})
        took = time.monotonic() - began
        skew = skew_seconds(answer.date, sent_at=now, received_at=now + took)
        if self.clocks.saw(skew):
            self.spool.take_notes({CLOCK: {"skew_seconds": round(skew or 0.0, 1)}})
        return answer

    def reason(self, answer: Answer) -> str:
        """What an answer says, and what this host knows of why."""
        hint = self.clocks.refusal_hint() if answer.status == HTTPStatus.UNAUTHORIZED else ""
        return f"{answer.detail()} ({hint})" if hint else answer.detail()
