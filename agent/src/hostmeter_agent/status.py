"""What `status` shows beside the queue: the key, the clock, the server's wishes, the room."""

from hostmeter_agent.errors import AgentError
from hostmeter_agent.measure.windows import stamp
from hostmeter_agent.server.channel import CLOCK
from hostmeter_agent.server.clocks import WARN_SECONDS, in_words
from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.server.desired import NOTE as DESIRED
from hostmeter_agent.server.keyring import NEXT, Keyring
from hostmeter_agent.server.talking import BOUNDS
from hostmeter_agent.store.spool import Identity, Spool
from hostmeter_agent.store.state import StateDirectory


def further_status(spool: Spool, state: StateDirectory, identity: Identity) -> dict[str, object]:
    """Plain values, None where there is nothing to say. Raises SpoolUnusable."""
    return {**_key(spool, state, identity), **_clock(spool), **_wishes(spool), **_room(spool)}


def _key(spool: Spool, state: StateDirectory, identity: Identity) -> dict[str, object]:
    try:
        key = Keyring(spool, state, identity).current()
    except AgentError as error:
        return {"key_id": None, "key_error": str(error)}
    turning = spool.note(NEXT) is not None
    return {
        "key_id": key.key_id,
        "key_since": stamp(int(key.since) * 1_000),
        "key_rotation": "begun, not yet taken by the server" if turning else None,
    }


def _clock(spool: Spool) -> dict[str, object]:
    note = spool.note(CLOCK)
    if note is None:
        return {"clock_skew_seconds": None}
    skew = note["skew_seconds"]
    off = f"this host's clock is {in_words(skew)}" if abs(skew) >= WARN_SECONDS else None
    return {"clock_skew_seconds": skew, "clock": off}


def _wishes(spool: Spool) -> dict[str, object]:
    note, desired = spool.note(DESIRED), last_good(spool)
    if note is None or desired is None:
        return {"desired_state": None}
    return {
        "desired_state": note["etag"],
        "desired_interval_seconds": desired.interval_seconds,
        "desired_rules": len(desired.rules),
        "desired_probes_off": sorted(desired.probes_off) or None,
        "minimum_agent_version": desired.minimum_version or None,
        "policy": desired.policy or None,
    }


def _room(spool: Spool) -> dict[str, object]:
    used, bounds = spool.used_bytes(), spool.note(BOUNDS)
    bytes_max = None if bounds is None else bounds["megabytes_max"] * 1_000_000
    full = None
    if bounds is not None and not spool.reserve.path.exists():
        full = "the disk is full: usage waits in the counters and arrives when there is room"
    elif bytes_max is not None and used >= bytes_max:
        full = "at its bound: usage waits in the counters and arrives when there is room"
    return {"spool_bytes": used, "spool_bytes_max": bytes_max, "spool_full": full}
