"""What is known of a line beside its quantity is said in sentences, and its numbers stay exact."""

from decimal import Decimal

import pytest

from billing.core.explanation import Json, converted
from billing.core.facts import duration_in_words, fact_steps
from billing.core.quantity import UNITS
from billing.core.readings import Reading

SUM = Reading(meter="launches", aggregation="sum")
RANKED = Reading(meter="launches", aggregation="percentile")
PEAK = Reading(meter="launches", aggregation="peak")
AT = "2026-10-10T04:25:00+00:00"


def said(name: str, fact: Json, reading: Reading = SUM) -> str:
    (step,) = fact_steps({name: fact}, reading, UNITS["one"])
    return step.words


class TestAFact:
    def test_of_coverage_is_in_hours_and_percent(self) -> None:
        told = said("coverage", {"measured_s": 156_600, "expected_s": 4_201_200})
        assert told == ("Measured for 43 h 30 min of the 1167 h in which it was expected: 3.72 %")

    def test_of_coverage_keeps_its_seconds_as_numbers(self) -> None:
        fact: Json = {"measured_s": 156_600, "expected_s": 4_201_200}
        (step,) = fact_steps({"coverage": fact}, SUM, UNITS["one"])
        assert step.numbers == {"measured_s": "156600", "expected_s": "4201200"}

    def test_of_coverage_says_100_percent_only_of_all(self) -> None:
        assert said("coverage", {"measured_s": 99_999, "expected_s": 100_000}).endswith("99.99 %")
        assert said("coverage", {"measured_s": 5, "expected_s": 5}).endswith("100 %")

    def test_of_intervals_says_when_and_which_had_no_usage(self) -> None:
        fact: Json = {"intervals": 8928, "missing": 8428, "rank": 8482, "at": AT}
        assert said("percentile", fact, RANKED).endswith(
            "; it began at 2026-10-10 04:25 UTC; 8428 of them had no usage"
        )
        assert "it began at 2026-10-10 04:25 UTC" in said("peak", fact, PEAK)

    def test_of_an_overlap_says_when(self) -> None:
        fact: Json = {"raw": 5, "windows": 2, "from": AT, "to": "2026-10-10T04:30:10+00:00"}
        assert "windows, 2026-10-10 04:25 UTC to 2026-10-10 04:30:10 UTC:" in said("overlap", fact)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (2, "2 different values were counted of the property country"),
            (1, "1 different value was counted of the property country"),
        ],
    )
    def test_of_different_values_is_a_sentence(self, values: int, words: str) -> None:
        assert said("unique", {"property": "country", "values": values}) == words

    def test_that_is_not_known_is_shown_as_it_is(self) -> None:
        assert said("other_thing", {"a": 1}) == "Other thing: a 1"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [("0", "0 s"), ("0.5", "0.5 s"), ("61", "1 min 1 s"), ("7200", "2 h"), ("7205", "2 h 5 s")],
)
def test_a_duration_is_whole(seconds: str, words: str) -> None:
    assert duration_in_words(Decimal(seconds)) == words


def test_what_is_counted_singly_is_converted_to_each() -> None:
    assert converted(41, UNITS["one"]).words == "41 count ÷ 1 count each = 41"
