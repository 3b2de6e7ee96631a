"""How far this host's clock is off the server's, from the Date of its answers."""

import logging
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.server.http_date import http_date
from hostmeter_agent.wire import SIGNATURE_SKEW_SECONDS_MAX

log = logging.getLogger("hostmeter_agent")

WARN_SECONDS: Final = 5.0
NOTE_STEP_SECONDS: Final = 1.0


def skew_seconds(date: str | None, *, sent_at: float, received_at: float) -> float | None:
    """How far the host's clock is ahead (behind: negative), to about a second; None without a
    date. A Date has whole seconds, so its middle is taken, and of the round trip the half."""
    if date is None:
        return None
    try:
        server = http_date(date).timestamp() + 0.5
    except (ValueError, OverflowError):
        return None
    return (sent_at + received_at) / 2 - server


def in_words(skew: float) -> str:
    return f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"


@dataclass(slots=True)
class ClockWatch:
    """Says once when the clock is off, and once when it is right again."""

    skew: float | None = None
    _said: bool = False

    def saw(self, skew: float | None) -> bool:
        """Take in a comparison; whether it differs from the one before by over a second."""
        if skew is None:
            return False
        moved = self.skew is None or abs(skew - self.skew) >= NOTE_STEP_SECONDS
        if moved:
            self.skew = skew
        off = abs(skew) >= WARN_SECONDS
        if off and not self._said:
            log.warning("this host's clock is %s", in_words(skew))
        elif self._said and not off:
            log.warning("this host's clock agrees with the server's again")
        self._said = off
        return moved

    def refusal_hint(self) -> str:
        """Why a signature may have been refused, where the clock is the reason."""
        if self.skew is None or abs(self.skew) < SIGNATURE_SKEW_SECONDS_MAX - WARN_SECONDS:
            return ""
        return (
            f"this host's clock is {in_words(self.skew)}; beyond"
            f" {SIGNATURE_SKEW_SECONDS_MAX} s its signatures are refused: set the clock"
        )
