"""The agent's bytes for a batch are those that the server's tests take."""

import gzip
from pathlib import Path

from hostmeter_agent.measure.measured import Measured, Profiles
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.measure.windows import Window
from hostmeter_agent.server.compression import zstd_module
from hostmeter_agent.server.delivery import seal_next
from hostmeter_agent.store.spool import Batch, Identity, Spool

EXAMPLE = Path(__file__).parent.parent / "golden" / "batch-with-measurements.json"
EPOCH = "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a"
NOON_S = 1_772_366_400  # 2026-03-01T12:00:00Z

CGROUP = Measured("exact", "cgroup-v2/1")
READ = {
    "cpu.time": CGROUP,
    "memory.used": Measured("sampled", "cgroup-v2/1"),
    "network.sent": Measured("unavailable", "ebpf/1"),
    "transactions": Measured("lower_bound", "turnaround/1"),
}


def sample(application: str, number: int, usage: dict[str, int], **more: object) -> Sample:
    """Of the window `number`, as samples.build makes it."""
    start_ms = NOON_S * 1_000 + number * 10_000
    return {
        "application": application,
        "instance": f"{application}-1",
        "role": "primary",
        "environment": None,
        "window": Window(start_ms, start_ms + 10_000).label(),
        "coverage": 1,
        **more,
        "usage": usage,
    }


def inflated(batch: Batch) -> bytes:
    if batch.encoding == "gzip":
        return gzip.decompress(batch.body)
    zstd = zstd_module()
    assert zstd is not None
    return bytes(zstd.decompress(batch.body))


def test_measured_samples_are_sealed_as_the_example_that_both_sides_share(tmp_path: Path) -> None:
    profiles = Profiles()
    read = profiles.profile(READ, marks=frozenset())
    gap = profiles.profile({}, gap="agent-stopped", marks=frozenset())
    odd = profiles.profile({"cpu.time": CGROUP}, marks=frozenset({"counter-reset", "clock-step"}))
    used = {"cpu.time": 1_500_000, "memory.used": 10_240, "memory.used.max": 1_024}
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.enrol(Identity("http://localhost", "h", "k", "web-1", EPOCH, "2026-03-01"), now="")
    first = [sample("shop", 0, used | {"transactions": 12}, measured=read.key)]
    first.append(sample("shop", 1, {}, coverage=0, measured=gap.key))
    spool.record(first, b"{}", at=0.0, measurements={each.key: each.text for each in (read, gap)})
    # An agent that states nothing yet has left its window in the spool.
    second = [sample("shop", 2, {"cpu.time": 1_200_000}, measured=odd.key)]
    second.append(sample("mäil", 2, {"cpu.time": 7}))
    spool.record(second, b"{}", at=0.0, measurements={odd.key: odd.text})
    assert seal_next(spool, NOON_S + 40.5)
    batch = spool.oldest_batch()
    spool.close()
    assert batch is not None
    assert batch.samples == 4
    assert inflated(batch) + b"\n" == EXAMPLE.read_bytes()
