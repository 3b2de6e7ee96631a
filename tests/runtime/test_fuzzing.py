"""What the long search for wrong answers of the API says at its end."""

import pytest

from config.runtime.fuzzing import closing_table, fuzz_api


def test_the_table_ends_with_the_sum() -> None:
    rows = [
        {"operation": "GET /api/v1/usage", "cases": 3_000, "failures": 0},
        {"operation": "POST /api/v1/events", "cases": 2_000, "failures": 2},
    ]
    assert closing_table(rows) == [
        "operation                cases  failures",
        "GET /api/v1/usage        3,000         0",
        "POST /api/v1/events      2,000         2",
        "2 operations             5,000         2",
    ]


def test_a_number_of_cases_out_of_bounds_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fuzz_api(["--cases", "1"])
    assert "--cases is 2 to 1000000" in capsys.readouterr().err
