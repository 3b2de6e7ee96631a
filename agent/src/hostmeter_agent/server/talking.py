"""The thread that talks to the server, beside the measuring, which a slow server must not hold up:
it delivers, keeps the spool within its bounds and the agent as the server wishes."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing

from hostmeter_agent.config import Config
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.control import Control
from hostmeter_agent.server.delivery import Delivery
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.room import Bounds
from hostmeter_agent.store.shrinking import Shrinking
from hostmeter_agent.store.spool import Identity, Spool, SpoolFull, SpoolUnusable
from hostmeter_agent.store.state import StateDirectory

log = logging.getLogger("hostmeter_agent")

BOUNDS = "bounds"
_IDLE_SECONDS = 10.0
"""What is stored meanwhile wakes the thread."""
_SHRINKING_SECONDS = 1.0
_TROUBLE_SECONDS = 5.0


def bounds_of(config: Config) -> Bounds:
    return Bounds(config.spool_days_max, config.spool_megabytes_max)


def note_bounds(spool: Spool, bounds: Bounds) -> None:
    """For `status`, which knows no configuration. Raises SpoolUnusable."""
    note = {"days_max": bounds.days_max, "megabytes_max": bounds.megabytes_max}
    if spool.note(BOUNDS) != note:
        spool.take_notes({BOUNDS: note})


class Talking(threading.Thread):
    """config: the file's, without the server's wishes; apply: called with what the agent is to do
    when these have changed; probe_states: what each probe says of itself; rest: called before each
    wait, when most of what a window takes has been done."""

    def __init__(
        self, state: StateDirectory, identity: Identity, config: Config, *,
        apply: Callable[[Config], None], probe_states: Callable[[], dict[str, str]],
        rest: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        super().__init__(name="delivery", daemon=True)
        self._state, self._identity, self._config = state, identity, config
        self._apply, self._probe_states, self._rest = apply, probe_states, rest
        self._stopping = False
        self._woken = threading.Event()
        self._trouble = ""
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with closing(Spool(self._state.spool, bounds_of(self._config))) as spool:
                self._talk(spool)
        except Exception as error:  # noqa: BLE001  told to the main thread, which ends on it
            self.failure = error

    def _talk(self, spool: Spool) -> None:
        keyring = Keyring(spool, self._state, self._identity)
        channel = Channel(parse_server(self._identity.server), keyring)
        delivery = Delivery(channel, delay_seconds=self._config.push_delay_seconds)
        control = Control(channel, self._config, self._apply, self._probe_states)
        shrinking = Shrinking(spool, bounds_of(self._config))
        resume_at = 0.0
        while not self._stopping:
            wait = _IDLE_SECONDS
            self._woken.clear()
            try:
                if shrinking.step(time.time()):
                    wait = _SHRINKING_SECONDS
                control.step(time.time())
                if time.monotonic() >= resume_at:
                    pause = delivery.step(time.time())
                    resume_at = time.monotonic() + (pause or 0.0)
                    wait = min(wait, delivery.due_in(time.time()) if pause is None else pause)
                else:
                    wait = min(wait, max(resume_at - time.monotonic(), 0.0))
                self._trouble = ""
            except (SpoolUnusable, sqlite3.Error) as error:
                wait = self._put_up_with(error, spool)
            self._rest()
            self._woken.wait(wait)

    def _put_up_with(self, error: Exception, spool: Spool) -> float:
        """The disk is full or will not be written: what is spooled stays, and is tried again. What
        frees room gets the room that was kept for it."""
        if str(error) != self._trouble:
            log.error("the spool cannot be written, delivery waits: %s", error)
        self._trouble = str(error)
        if isinstance(error, SpoolFull) and spool.reserve.path.exists():
            spool.reserve.give_up()
            return 0.0
        return _TROUBLE_SECONDS

    def wake(self) -> None:
        """Something has been stored that may be due for delivery."""
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
