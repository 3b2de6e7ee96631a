"""Samples as an agent's first meters make them: 20 meters of 100 instances, over 10 windows."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from metering.core.buckets import BUCKET, bucket_of

SAMPLES_PER_BATCH = 1_000
_INSTANCES = 100
_WINDOW = timedelta(seconds=10)
_WINDOWS_PER_BATCH = SAMPLES_PER_BATCH // _INSTANCES
# Batches repeat these; only the envelope differs from one to the next.
_KINDS_OF_BATCH = 20

# The largest value that each meter takes.
_METERS = {
    "cpu.time": 10_000_000,
    "memory.used": 20_000_000_000,
    "memory.used.max": 2_000_000_000,
    "processes": 100,
    "processes.max": 10,
    "threads": 500,
    "threads.max": 50,
    "files.open": 2_000,
    "files.open.max": 200,
    "resources.open": 4_000,
    "resources.open.max": 400,
    "resources.open.file": 2_000,
    "resources.open.socket": 500,
    "resources.open.pipe": 500,
    "resources.open.device": 50,
    "resources.open.other": 500,
    "file.read": 50_000_000,
    "file.written": 50_000_000,
    "disk.read": 10_000_000,
    "disk.written": 10_000_000,
}


# How an agent measures them: applications with a cgroup, matched processes, and a clock's step.
_MEASUREMENTS = {
    "cgroup": {"meters": {name: ["exact", "cgroup-v2/1"] for name in _METERS}},
    "proc": {"meters": {name: ["sampled", "proc/1"] for name in _METERS}},
    "stepped": {
        "meters": {name: ["exact", "cgroup-v2/1"] for name in _METERS},
        "marks": ["clock-step"],
    },
}


@dataclass(frozen=True, slots=True)
class Work:
    """Sample lists, ready to be put into batches."""

    samples: tuple[list[dict[str, Any]], ...]

    def bodies(self, epoch: str, count: int) -> Iterator[bytes]:
        """Bodies of consecutive batches."""
        encoded = [msgspec.json.encode(samples) for samples in self.samples]
        measurements = msgspec.json.encode(_MEASUREMENTS)
        sent_at = datetime.now(UTC).isoformat()
        for sequence in range(1, count + 1):
            head = msgspec.json.encode(
                {"schema": 1, "epoch": epoch, "sequence": sequence, "sent_at": sent_at}
            )
            samples = encoded[sequence % len(encoded)]
            yield b"".join(
                (head[:-1], b',"measurements":', measurements, b',"samples":', samples, b"}")
            )


def make_work(seed: int) -> Work:
    """The same samples for the same seed, within the hour that is over."""
    chance = random.Random(seed)  # noqa: S311 - made-up usage, no secret
    last = bucket_of(datetime.now(UTC)) - BUCKET
    windows = [
        last - BUCKET * number + _WINDOW * part
        for number in range(12)
        for part in range(BUCKET // _WINDOW)
    ]
    return Work(tuple(_batch(chance, windows, kind) for kind in range(_KINDS_OF_BATCH)))


def _batch(chance: random.Random, windows: list[datetime], kind: int) -> list[dict[str, Any]]:
    first = kind * _WINDOWS_PER_BATCH % len(windows)
    return [
        _sample(chance, start, instance)
        for start in windows[first : first + _WINDOWS_PER_BATCH]
        for instance in range(_INSTANCES)
    ]


def _sample(chance: random.Random, start: datetime, instance: int) -> dict[str, Any]:
    return {
        "application": f"application-{instance // 4}",
        "instance": f"instance-{instance}",
        "role": "primary",
        "environment": None,
        "window": [start.isoformat(), (start + _WINDOW).isoformat()],
        "coverage": 1,
        "usage": {name: chance.randrange(most) for name, most in _METERS.items()},
        "measured": ("cgroup", "cgroup", "proc", "stepped")[instance % 4],
    }
