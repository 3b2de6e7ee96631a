"""An agent that meters nothing but counts: its n-th sample says n. Spool and delivery are real.

`python -m tests.scenarios.counting_agent FOLDER` runs until SIGTERM and then delivers what is left.
"""

import signal
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hostmeter_agent.config import Config
from hostmeter_agent.server.talking import Talking
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory

SAMPLES_PER_SCRAPE = 40
WAITING_MAX = 400
APPLICATIONS = ("shop", "mail", "search")


def sample(number: int, start: datetime) -> dict[str, object]:
    return {
        "application": APPLICATIONS[number % len(APPLICATIONS)],
        "instance": "one",
        "role": "primary",
        "window": [start.isoformat(), (start + timedelta(seconds=1)).isoformat()],
        "coverage": 1,
        "usage": {"cpu.time": number},
    }


def scrape(spool: Spool, start: datetime) -> None:
    """Queue the next samples and note, in the same transaction, how far the count has come."""
    first = int(spool.baseline() or b"0")
    after = first + SAMPLES_PER_SCRAPE
    samples = [sample(number, start) for number in range(first, after)]
    spool.record(samples, str(after).encode(), at=time.time())


def waiting(spool: Spool) -> int:
    batch = spool.oldest_batch()
    return spool.queued()[0] + (batch.samples if batch else 0)


def main(folder: Path) -> None:
    state, stopping = StateDirectory(folder), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    now = datetime.now(UTC)
    start = now - timedelta(minutes=now.minute % 5 + 5, seconds=now.second)
    with state.held(), closing(Spool(state.spool)) as spool:
        identity = spool.identity()
        assert identity is not None
        config = Config(push_delay_seconds=0)
        delivery = Talking(state, identity, config, apply=lambda _: None, probe_states=dict)
        delivery.start()
        while not stopping.is_set() or waiting(spool):
            if not stopping.is_set() and waiting(spool) < WAITING_MAX:
                scrape(spool, start.replace(microsecond=0))
                delivery.wake()
            time.sleep(0.02)
        delivery.stop()
        delivery.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
