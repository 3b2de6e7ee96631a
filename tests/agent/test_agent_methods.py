"""What this machine's own probes say of how they measure."""

import json
import re
from pathlib import Path

from hostmeter_agent.config import Config
from hostmeter_agent.opening import open_listener, open_measuring
from hostmeter_agent.running import system_clock
from hostmeter_agent.wire import METHOD_PATTERN, QUALITIES


def test_every_quality_and_method_is_one_that_the_contract_knows(tmp_path: Path) -> None:
    listener = open_listener()
    measuring = open_measuring(
        Config(), instance="here", stored=None, listener=listener, state=tmp_path, pinned=False
    )
    try:
        measuring.commit(measuring.measure(system_clock))
        step = measuring.measure(system_clock)
    finally:
        measuring.probing.close()
        if listener is not None:
            listener.close()
    told = [pair for text in step.measurements.values() for pair in _pairs(text)]
    assert {quality for quality, _ in told} <= set(QUALITIES)
    assert [method for _, method in told if not re.match(METHOD_PATTERN, method)] == []


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(quality, method) for quality, method in json.loads(text)["meters"].values()]
