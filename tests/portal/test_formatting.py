"""What figures look like to an English reader."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import UnknownCurrency
from portal import formatting

BERLIN = ZoneInfo("Europe/Berlin")


class TestAmounts:
    @pytest.mark.parametrize(
        ("value", "currency", "written"),
        [
            ("12.34", "EUR", "€12.34"),
            ("1234567.8", "EUR", "€1,234,567.80"),
            ("0", "EUR", "€0.00"),
            ("-0.5", "EUR", "\u2212€0.50"),
            ("1234", "JPY", "¥1,234"),
            ("1.234", "KWD", "KWD\u00a01.234"),
            ("-1.2", "CHF", "\u2212CHF\u00a01.20"),
            ("12.3400", "USD", "$12.34"),
        ],
    )
    def test_stand_in_their_currencys_form(self, value: str, currency: str, written: str) -> None:
        assert formatting.amount(Decimal(value), currency) == written

    @pytest.mark.parametrize(
        ("value", "written"),
        [("0.0125", "€0.0125"), ("0.000001", "€0.000001"), ("2", "€2.00"), ("0.50", "€0.50")],
    )
    def test_keep_every_digit_of_a_price(self, value: str, written: str) -> None:
        assert formatting.unit_price(Decimal(value), "EUR") == written

    def test_refuse_a_currency_nobody_pays_with(self) -> None:
        with pytest.raises(UnknownCurrency):
            formatting.amount(Decimal(1), "XXX")

    @given(st.decimals(-(10**12), 10**12, places=2, allow_nan=False))
    def test_can_be_read_back(self, value: Decimal) -> None:
        written = formatting.amount(value, "EUR")
        read = Decimal(written.replace("€", "").replace(",", "").replace(formatting.MINUS, "-"))
        assert read == value


class TestQuantities:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            ("0", "0"),
            ("20", "20"),
            ("20.0102", "20.01"),
            ("3.0720", "3.072"),
            ("0.128000", "0.128"),
            ("0.000555555555", "0.0005556"),
            ("71999.96", "72,000"),
            ("1234567", "1,234,567"),
            ("0.0000000000000001", "<0.000000000001"),
        ],
    )
    def test_have_sensible_digits(self, value: str, written: str) -> None:
        assert formatting.quantity(Decimal(value)) == written

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (72_000_000_000, "72,000,000,000"),
            (Decimal("1234.50"), "1,234.5"),
            (Decimal("20.000277777777777777777777777778"), "20.000277777777777777777777777778"),
            (10**29, "100,000,000,000,000,000,000,000,000,000"),
        ],
    )
    def test_exactly_have_all_of_them(self, value: int | Decimal, written: str) -> None:
        assert formatting.exact(value) == written

    @pytest.mark.parametrize(
        ("meter", "raw", "written"),
        [
            ("cpu.time", 20_000_000, "20 CPU-seconds"),
            ("cpu.time", 1_000_000, "1 CPU-second"),
            ("cpu.time", 5_400_000_000, "1.5 CPU-hours"),
            ("memory.used", 3_600 * 10**9, "1 GB-hour"),
            ("memory.used", 0, "0 GB-hours"),
            ("memory.used.max", 512_000_000, "512 MB"),
            ("file.read", 999, "999 B"),
            ("disk.written", 1_500, "1.5 kB"),
            ("disk.written", 3 * 10**18, "3,000 PB"),
            ("threads", 7_200, "2 thread-hours"),
            ("resources.open.pipe", 3_600, "1 resource-hour"),
            ("launches", 12_345, "12,345"),
            ("queue.jobs", 7, "7"),
        ],
    )
    def test_of_meters_are_in_units_people_know(self, meter: str, raw: int, written: str) -> None:
        assert formatting.usage(meter, raw).replace(formatting.NBSP, " ") == written

    def test_of_meters_are_also_written_raw(self) -> None:
        assert formatting.raw_quantity("cpu.time", 72_000_000_000) == "72,000,000,000\u00a0µs"

    def test_in_sentences_are_grouped_but_for_decimals_and_years(self) -> None:
        words = "72000000000 µs ÷ 3600000000 = 20.000277777777… in 2026"
        expected = "72,000,000,000 µs ÷ 3,600,000,000 = 20.000277777777… in 2026"
        assert formatting.with_groups(words) == expected

    @pytest.mark.parametrize(
        "written", ["2026-10-10 04:25 UTC", "2026-10-10T04:25:00+00:00", "2026-10-10T04:25:00Z"]
    )
    def test_in_sentences_tell_times_in_the_readers_zone(self, written: str) -> None:
        words = formatting.with_local_times(
            f"; it began at {written}; 3", ZoneInfo("Europe/Berlin")
        )
        assert words.replace(formatting.NBSP, " ") == "; it began at 10 Oct 2026, 06:25 CEST; 3"

    def test_in_sentences_leave_what_is_no_time(self) -> None:
        words = "2026-99-10 04:25 UTC, 2026-10-10"
        assert formatting.with_local_times(words, ZoneInfo("Europe/Berlin")) == words

    @pytest.mark.parametrize(
        ("unit", "value", "written"),
        [
            ("user", 41, "users"),
            ("user", 1, "user"),
            ("process", 2, "processes"),
            ("GB", 2, "GB"),
            ("month", 1, "month"),
            ("month", 2, "months"),
            ("one", 2, ""),
        ],
    )
    def test_have_units_in_the_plural(self, unit: str, value: int, written: str) -> None:
        assert formatting.unit_name(unit, Decimal(value)) == written

    @pytest.mark.parametrize(
        ("ppm", "written"), [(1_000_000, "100%"), (999_999, "99.99%"), (500_000, "50%"), (0, "0%")]
    )
    def test_of_coverage_are_whole_only_when_they_are(self, ppm: int, written: str) -> None:
        assert formatting.coverage(ppm) == written

    def test_of_nothing_have_no_share(self) -> None:
        assert formatting.share(Decimal(1), Decimal(0)) == "\u2013"
        assert formatting.share(Decimal(1), Decimal(3)) == "33.3%"


class TestTimes:
    def test_are_in_the_readers_zone(self) -> None:
        moment = datetime(2026, 11, 23, 13, 5, 30, tzinfo=UTC)
        assert formatting.minute(moment, BERLIN) == "14:05"
        full = formatting.moment_in_full(moment, BERLIN).replace(formatting.NBSP, " ")
        assert full == "23 Nov 2026, 14:05:30 CET"

    def test_name_a_zone_without_letters_by_its_offset(self) -> None:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        assert formatting.moment_in_full(moment, ZoneInfo("America/Sao_Paulo")).endswith(
            "UTC-03:00"
        )

    @pytest.mark.parametrize(
        ("start", "end", "written"),
        [
            ("2026-10-31T23:00", "2026-11-30T23:00", "1\u201330 Nov 2026"),
            ("2026-11-22T23:00", "2026-11-23T23:00", "23 Nov 2026"),
            ("2026-11-14T23:00", "2026-12-14T23:00", "15 Nov \u2013 14 Dec 2026"),
            ("2026-12-14T23:00", "2027-01-14T23:00", "15 Dec 2026 \u2013 14 Jan 2027"),
        ],
    )
    def test_of_a_period_are_its_first_and_last_day(
        self, start: str, end: str, written: str
    ) -> None:
        first, after = (datetime.fromisoformat(f"{each}+00:00") for each in (start, end))
        assert formatting.period(first, after, BERLIN).replace(formatting.NBSP, " ") == written

    @pytest.mark.parametrize(
        ("seconds", "written"),
        [
            (0, "0 s"),
            (20, "20 s"),
            (185, "3 min 5 s"),
            (3_600, "1 h"),
            (3_605, "1 h"),
            (7_800, "2 h 10 min"),
            (4 * 86_400 + 3 * 3_600 + 7, "4 d 3 h"),
            (-5, "0 s"),
        ],
    )
    def test_between_two_moments_have_two_parts(self, seconds: int, written: str) -> None:
        shown = formatting.duration(timedelta(seconds=seconds))
        assert shown.replace(formatting.NBSP, " ") == written
