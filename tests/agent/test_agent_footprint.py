"""What the agent keeps: each baseline as if written anew, and no more memory than it needs."""

import os
import subprocess
import sys
from dataclasses import replace

from hostmeter_agent.measure.baseline import Baseline, Encoder, decode
from hostmeter_agent.measure.readings import Reading, Table

READING = Reading(7, 100, 1, "shop", 10, 20, 3, 4, 1, (1, 2, 3, 4))

SHRINKING = """
import re, sys
from hostmeter_agent import running
from hostmeter_agent.server.ed25519 import PrivateKey
from hostmeter_agent.footprint import Libraries, return_large_blocks

def resident_kb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])

return_large_blocks()
before = PrivateKey(bytes(32)).sign(b"message")
full = resident_kb()
libraries = Libraries()
libraries.give_back()
shrunk = resident_kb()
for _ in range(3):
    libraries.give_back()
    assert PrivateKey(bytes(32)).sign(b"message") == before
print(full, shrunk)
"""


def baseline(*readings: Reading) -> Baseline:
    return Baseline("boot", 1, 2, Table({reading.pid: reading for reading in readings}))


class TestEncoder:
    def test_a_later_baseline_holds_what_changed_came_and_went(self) -> None:
        stays, ends = replace(READING, pid=8), replace(READING, pid=9)
        encoder = Encoder()
        first = baseline(READING, stays, ends)
        assert decode(encoder.encode(first)) == first
        second = baseline(replace(READING, cpu_us=11), stays, replace(READING, pid=10, io=None))
        assert decode(encoder.encode(second)) == second

    def test_an_empty_one(self) -> None:
        assert decode(Encoder().encode(baseline())) == baseline()


def test_library_pages_are_given_back_and_all_goes_on() -> None:
    """In a process of its own: libraries that tests load are not to be taken for the agent's."""
    done = subprocess.run(
        [sys.executable, "-c", SHRINKING],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full_kb, shrunk_kb = map(int, done.stdout.split())
    assert shrunk_kb < full_kb - 4_000
