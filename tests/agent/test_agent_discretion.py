"""What the agent reads of programs and must not tell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

from hostmeter_agent.config import Config
from hostmeter_agent.opening import open_measuring
from hostmeter_agent.running import system_clock

from tests.agent.apart import apart


def test_neither_command_lines_nor_environments_leave_the_host(tmp_path: Path) -> None:
    name = f"hostmeter-discreet-{os.getpid()}"
    script = tmp_path / f"{name}.py"
    script.write_text("import sys; print(flush=True); sys.stdin.readline()")
    measuring = open_measuring(
        Config(), instance="web-1", stored=None, listener=None, state=tmp_path, pinned=False
    )
    try:
        measuring.commit(measuring.measure(system_clock))
        with subprocess.Popen(
            apart(sys.executable, str(script), "--password=argument-4711"),
            env={**os.environ, "TOKEN": "variable-4711"}, stdin=PIPE, stdout=PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            process.stdout.readline()
            step = measuring.measure(system_clock)
            process.communicate(b"\n", timeout=10)
    finally:
        measuring.probing.close()
    told = json.dumps([step.samples, step.measurements])
    assert name in told
    assert "4711" not in told
