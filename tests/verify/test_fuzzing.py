"""A short run of fuzzing.py, and what its chance would take long to meet."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.verify.fuzzing import SECONDS_MAX, cases, said_of, wrong_with
from tests.verify.rebuilding import GOLDEN, changed_json, signed_anew

_ID = "00000000-0000-0000-0000-000000000001"


def test_a_tampered_bundle_never_passes(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    for case in cases(250, seed=20261125):
        wrong, said = wrong_with(case, tmp_path)
        if wrong is not None:
            found[f"{wrong}: {case.place}: {said.last}"] += 1
    assert not found


def _of_all_time(corrections: Any) -> None:
    correction = {
        "type": "Correction", "application_id": _ID, "instance_id": None,
        "start": "0001-01-01T00:00:00+00:00", "end": "9999-12-31T23:55:00+00:00",
        "meters": None, "quantities": {"cpu.time": 10**30}, "stands_on": _ID, "role": "primary",
    }  # fmt: skip
    corrections.append(
        {"id": _ID, "reason": "x", "author": "y", "created_at": 1, "correction": correction}
    )


def _many(corrections: Any) -> None:
    corrections += [[]] * 4_000_000


def _until_the_end(keys: Any) -> None:
    keys[0]["expires_at"] = 253_402_300_799_000_000


class TestABombInABundle:
    @pytest.mark.parametrize(
        ("name", "change", "code"),
        [
            ("corrections.json", _of_all_time, 1),
            ("corrections.json", _many, 1),
            ("keys.json", _until_the_end, 0),
        ],
    )
    def test_takes_little_time(
        self, tmp_path: Path, name: str, change: Callable[[Any], None], code: int
    ) -> None:
        said = said_of(signed_anew(GOLDEN.read_bytes(), changed_json(name, change)), tmp_path)
        assert said.code == code, said.last
        assert said.seconds < SECONDS_MAX
        assert "cannot be read" not in said.last
