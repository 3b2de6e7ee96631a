"""How many distinct principals are present at one moment.

A principal is present from a line that names it until `active_seconds` after it. Only keyed
hashes are kept: 8 bytes each, with a key that the host makes for each application.
"""

import base64
import hashlib
import heapq
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PRESENT_MAX: Final = 20_000
_KEY_BYTES: Final = 16
_ENTRY: Final = struct.Struct("<QI")
_SECOND_MAX: Final = 2**32 - 1


@dataclass(slots=True)
class Present:
    """Who is present: until (seconds since 1970) by hash. since_s: when the count began."""

    key: bytes
    since_s: int
    until_s: dict[int, int] = field(default_factory=dict)

    def hash_of(self, principal: str) -> int:
        digest = hashlib.blake2b(
            principal.encode(errors="surrogatepass"), key=self.key, digest_size=8
        )
        return int.from_bytes(digest.digest(), "little")

    def encode(self) -> dict[str, object]:
        """As JSON: who is present is packed, 12 bytes each."""
        packed = b"".join(_ENTRY.pack(*entry) for entry in self.until_s.items())
        return {
            "key": self.key.hex(),
            "since": self.since_s,
            "present": base64.b64encode(packed).decode(),
        }


def nobody(*, now_s: int) -> Present:
    return Present(os.urandom(_KEY_BYTES), now_s)


def decode(stored: Mapping[str, object], *, until_s_max: int) -> Present:
    """What encode() made. After a wall clock was set back, nobody stays longer than to
    until_s_max."""
    packed = base64.b64decode(str(stored["present"]))
    present = {one: min(until, until_s_max) for one, until in _ENTRY.iter_unpack(packed)}
    since = stored["since"]
    if not isinstance(since, int):
        raise TypeError("since is a number of seconds")
    return Present(bytes.fromhex(str(stored["key"])), since, present)


class Arrivals:
    """Who was named in one step: until by hash, by the second of the line."""

    def __init__(self) -> None:
        self._by_second: dict[int, dict[int, int]] = {}

    def add(self, one: int, *, at_s: int, active_seconds: int) -> None:
        named = self._by_second.setdefault(at_s, {})
        named[one] = max(named.get(one, 0), min(at_s + active_seconds, _SECOND_MAX))

    def in_order(self, *, not_before_s: int, not_after_s: int) -> list[tuple[int, dict[int, int]]]:
        """By time; a line from before the step counts at its beginning, one from a clock that is
        ahead at its end."""
        return [
            (min(max(second, not_before_s), not_after_s), named)
            for second, named in sorted(self._by_second.items())
        ]


@dataclass(frozen=True, slots=True)
class Presence:
    """A step's outcome. value: present at its end; peak: the most at one moment of it."""

    present: Present
    value: int
    peak: int
    capped: bool


def advance(before: Present, arrivals: Arrivals, *, start_s: int, now_s: int) -> Presence:
    """Who is present at now_s, and the most since start_s (seconds since 1970)."""
    until_s = dict(before.until_s)
    leaving = [(until, one) for one, until in until_s.items()]
    heapq.heapify(leaving)
    _leave(until_s, leaving, start_s)
    peak, capped = len(until_s), False
    for second, named in arrivals.in_order(not_before_s=start_s, not_after_s=now_s):
        _leave(until_s, leaving, second)
        for one, until in named.items():
            if until <= second or until <= until_s.get(one, 0):
                continue
            if one not in until_s and len(until_s) >= PRESENT_MAX:
                capped = True
                continue
            until_s[one] = until
            heapq.heappush(leaving, (until, one))
        peak = max(peak, len(until_s))
    _leave(until_s, leaving, now_s)
    return Presence(Present(before.key, before.since_s, until_s), len(until_s), peak, capped)


def _leave(until_s: dict[int, int], leaving: list[tuple[int, int]], now_s: int) -> None:
    """Take out those whose time is up; an entry that a later line outdated is passed over."""
    while leaving and leaving[0][0] <= now_s:
        until, one = heapq.heappop(leaving)
        if until_s.get(one) == until:
            del until_s[one]
