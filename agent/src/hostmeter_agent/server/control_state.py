"""The desired state that was applied last, as it is kept."""

import logging

from hostmeter_agent.server.desired import NOTE, Desired, DesiredInvalid, parse_desired
from hostmeter_agent.store.spool import Spool

log = logging.getLogger("hostmeter_agent")


def last_good(spool: Spool) -> Desired | None:
    """The desired state that was applied last: what a start without the server goes by."""
    note = spool.note(NOTE)
    if note is None:
        return None
    try:
        return parse_desired(str(note["body"]).encode())
    except DesiredInvalid as error:
        log.error("the desired state of an earlier agent is left out: %s", error)
        return None
