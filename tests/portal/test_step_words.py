"""Steps are kept in English and read in the language of the page."""

import pytest
from django.utils.translation import override

from portal.step_words import said_again

SAID = (
    (
        "cpu.time, sum: 72000000000 µs",
        "cpu.time, Summe: 72000000000 µs",
    ),
    (
        "72000000000 µs ÷ 3600000000 µs per CPU-hour = 20 CPU-hours",
        "72000000000 µs ÷ 3600000000 µs je CPU-Stunde = 20 CPU-Stunden",
    ),
    (
        "Included 10 CPU-hours and 2.5 CPU-hours carried over: 3 used before, 1.5 used here, "
        "0 CPU-hours left to pay",
        "Enthalten 10 CPU-Stunden und 2,5 CPU-Stunden übertragen: davon vorher 3 verbraucht, "
        "hier 1,5; zu zahlen bleiben 0 CPU-Stunden",
    ),
    ("20 CPU-hours at 0.04 EUR = 0.8 EUR", "20 CPU-Stunden zu 0,04 EUR = 0,8 EUR"),
    (
        "Tier 2, above 100 up to 200 GB, which holds the whole quantity: 150 GB at 0.1 EUR plus "
        "a fee of 5 EUR = 20 EUR",
        "Stufe 2, über 100 bis 200 GB, in der die ganze Menge liegt: 150 GB zu 0,1 EUR und "
        "eine Gebühr von 5 EUR = 20 EUR",
    ),
    (
        "Not billed: 3.5 GB, measured as lower bound or estimated; this price takes exact",
        "Nicht berechnet: 3,5 GB, gemessen als Untergrenze oder geschätzt; dieser Preis nimmt "
        "genau",
    ),
    ("Before rounding: 13.3372… EUR", "Vor dem Runden: 13,3372… EUR"),
    (
        "Rounded up to 13.34 EUR, so that the lines sum to 57.27 EUR",
        "Aufgerundet auf 13,34 EUR, damit die Positionen zusammen 57,27 EUR ergeben",
    ),
    (
        "cpu.time, 95th percentile of 5-minute intervals over all applications: 12 µs",
        "cpu.time, 95. Perzentil der Intervalle von 5 Minuten über alle Anwendungen: 12 µs",
    ),
)


@pytest.mark.parametrize(("written", "said"), SAID, ids=[written[:20] for written, _ in SAID])
def test_are_said_in_german(written: str, said: str) -> None:
    with override("de"):
        assert said_again(written) == said
    with override("en-gb"):
        assert said_again(written) == written


def test_of_no_known_shape_stay_as_they_were_written() -> None:
    with override("de"):
        assert said_again("Something else, as of now") == "Something else, as of now"
