"""How long this host works on with a policy that it cannot refresh, and whether that is too long.

Metering and keeping what was metered go on in any case: the grace says when to tell of it.
"""

from typing import Final

from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.store.spool import Spool

NOTE: Final = "refreshed"
_NOTED_EVERY_SECONDS: Final = 600


def note_refreshed(spool: Spool, now: float) -> None:
    """The server has just told what it wishes, be it the same as before. Raises SpoolUnusable."""
    desired, note = last_good(spool), spool.note(NOTE)
    if desired is None or desired.grace_seconds is None:
        return
    noted_every = min(_NOTED_EVERY_SECONDS, desired.grace_seconds // 2)
    if note is None or not 0 <= now - note["at"] < noted_every:
        spool.take_notes({NOTE: {"at": int(now)}})


def overdue(spool: Spool, now: float) -> str:
    """In words; "" while the grace lasts or there is none. Raises SpoolUnusable."""
    desired, note = last_good(spool), spool.note(NOTE)
    if desired is None or desired.grace_seconds is None or note is None:
        return ""
    seconds = int(now - note["at"])
    if seconds <= desired.grace_seconds:
        return ""
    return (
        f"the policy {desired.policy} was not refreshed for {seconds} s, its grace is "
        f"{desired.grace_seconds} s; metering goes on"
    )
