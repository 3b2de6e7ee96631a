"""systemd's own tools read the unit: nothing in it is unknown, and little is exposed.

They need no systemd that runs.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostmeter_agent.install.unit import UNIT_NAME, Unit

from tests import needs

EXPOSURE_MAX = 3.5
"""systemd's figure from 0 (nothing) to 10; "OK" up to 4.9, "MEDIUM" from 5."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / UNIT_NAME
    path.write_text(Unit(sys.executable, "daemon", "daemon").text())
    return path


def analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    program = needs.tool("systemd-analyze", package="systemd")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_understands_every_line(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if UNIT_NAME in line]
    assert (done.returncode, complaints) == (0, [])


def test_a_line_that_systemd_does_not_know_would_be_told(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in analyze("verify", "--man=no", unit).stderr


def test_little_is_exposed(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--json=short", unit)
    table = {row["json_field"]: row for row in json.loads(done.stdout)}
    overall = analyze("security", "--offline=true", "--no-pager", unit).stdout
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", overall)
    assert found, overall
    assert float(found[1]) <= EXPOSURE_MAX, overall
    for kept_from_it in (
        "CapabilityBoundingSet_CAP_SYS_ADMIN",
        "CapabilityBoundingSet_CAP_SET_UID_GID_PCAP",
        "PrivateDevices",
        "MemoryDenyWriteExecute",
    ):
        assert table[kept_from_it]["set"] is True, table[kept_from_it]
