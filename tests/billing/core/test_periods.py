"""Billing periods follow the customer's clock and leave no instant out."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.periods import (
    Anchoring,
    BeforeBilling,
    BillingCycle,
    InstantOutOfRange,
    Interval,
    NaiveInstant,
    Period,
    PeriodEmpty,
    UnknownInterval,
    UnknownTimeZone,
    billing_period_containing,
    billing_periods,
    boundaries,
    bucket_start,
    span_in_words,
    whole_period_containing,
)

ZONES = [
    "UTC",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]

zones = st.sampled_from(ZONES)
anchorings = st.sampled_from(["calendar", "anniversary"])
intervals = st.sampled_from(["weekly", "monthly", "quarterly", "half_yearly", "yearly"])
# The shortest and longest that a period of an interval is, the first one aside.
DAYS: dict[Interval, tuple[int, int]] = {
    "weekly": (6, 8),
    "monthly": (27, 32),
    "quarterly": (88, 93),
    "half_yearly": (179, 185),
    "yearly": (363, 367),
}
instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 -- Hypothesis adds the zone
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def utc(*fields: int) -> datetime:
    year, month, day, *clock = fields
    hour, minute = [*clock, 0, 0][:2]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def local_starts(
    start: datetime, zone: str, anchoring: Anchoring, count: int, interval: Interval = "monthly"
) -> list[str]:
    cycle = BillingCycle(start, zone, anchoring, interval)
    return [
        instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %z")
        for instant in islice(boundaries(cycle), count)
    ]


class TestPeriod:
    def test_holds_its_start_and_not_its_end(self) -> None:
        january = Period(utc(2026, 1, 1), utc(2026, 2, 1))

        assert utc(2026, 1, 1) in january
        assert utc(2026, 2, 1) not in january
        assert january.duration == timedelta(days=31)

    def test_is_kept_in_utc(self) -> None:
        east = timezone(timedelta(hours=5, minutes=45))
        period = Period(datetime(2026, 1, 1, 5, 45, tzinfo=east), utc(2026, 1, 2))

        assert str(period.start) == "2026-01-01 00:00:00+00:00"

    def test_without_offsets_is_refused(self) -> None:
        with pytest.raises(NaiveInstant):
            Period(datetime(2026, 1, 1), utc(2026, 2, 1))  # noqa: DTZ001 -- what is refused

    @pytest.mark.parametrize("end", [utc(2026, 1, 1), utc(2025, 1, 1)])
    def test_of_no_length_is_refused(self, end: datetime) -> None:
        with pytest.raises(PeriodEmpty):
            Period(utc(2026, 1, 1), end)

    def test_outside_the_calendar_is_refused(self) -> None:
        with pytest.raises(InstantOutOfRange):
            Period(utc(2026, 1, 1), utc(9999, 1, 1))


class TestCalendarMonth:
    def test_begins_at_local_midnight_and_the_first_one_at_the_start(self) -> None:
        assert local_starts(utc(2026, 2, 10, 8), "Europe/Berlin", "calendar", 4) == [
            "2026-02-10 09:00 +0100",
            "2026-03-01 00:00 +0100",
            "2026-04-01 00:00 +0200",
            "2026-05-01 00:00 +0200",
        ]

    def test_starting_on_a_boundary_is_a_whole_month(self) -> None:
        cycle = BillingCycle(utc(2026, 1, 31, 18, 15), "Asia/Kathmandu")

        assert next(billing_periods(cycle)) == Period(
            utc(2026, 1, 31, 18, 15), utc(2026, 2, 28, 18, 15)
        )

    def test_is_longer_where_the_clocks_go_back(self) -> None:
        """October 2026 in Berlin ends an hour later; in Lord Howe it ends half an hour early."""
        berlin = BillingCycle(utc(2026, 9, 30, 22), "Europe/Berlin")
        lord_howe = BillingCycle(utc(2026, 9, 30, 13, 30), "Australia/Lord_Howe")

        assert next(billing_periods(berlin)).duration == timedelta(days=31, hours=1)
        assert next(billing_periods(lord_howe)).duration == timedelta(days=31, minutes=-30)


class TestAnniversary:
    def test_of_31_january_is_clamped_and_the_clamp_does_not_stick(self) -> None:
        assert local_starts(utc(2026, 1, 31, 12), "UTC", "anniversary", 5) == [
            "2026-01-31 12:00 +0000",
            "2026-02-28 12:00 +0000",
            "2026-03-31 12:00 +0000",
            "2026-04-30 12:00 +0000",
            "2026-05-31 12:00 +0000",
        ]

    def test_of_31_january_falls_on_29_february_in_a_leap_year(self) -> None:
        assert local_starts(utc(2028, 1, 31), "UTC", "anniversary", 2)[1][:10] == "2028-02-29"

    def test_of_29_february_returns_to_the_29th(self) -> None:
        days = local_starts(utc(2028, 2, 29), "UTC", "anniversary", 13)

        assert days[1][:10] == "2028-03-29"
        assert days[12][:10] == "2029-02-28"

    def test_is_the_first_of_two_where_the_clock_time_occurs_twice(self) -> None:
        """Clocks in Berlin go from 03:00 back to 02:00 on 25 October 2026."""
        starts = local_starts(utc(2026, 9, 25, 0, 30), "Europe/Berlin", "anniversary", 3)

        assert starts[1:] == ["2026-10-25 02:30 +0200", "2026-11-25 02:30 +0100"]

    def test_is_read_with_the_offset_before_the_gap_where_it_does_not_occur(self) -> None:
        """Clocks in Berlin go from 02:00 to 03:00 on 29 March 2026."""
        starts = local_starts(utc(2026, 1, 29, 1, 30), "Europe/Berlin", "anniversary", 4)

        assert starts[1:] == [
            "2026-02-28 02:30 +0100",
            "2026-03-29 03:30 +0200",
            "2026-04-29 02:30 +0200",
        ]

    def test_started_in_the_second_of_two_equal_hours_goes_on_at_that_clock_time(self) -> None:
        starts = local_starts(utc(2026, 10, 25, 1, 30), "Europe/Berlin", "anniversary", 2)

        assert starts == ["2026-10-25 02:30 +0100", "2026-11-25 02:30 +0100"]

    def test_on_a_day_that_a_zone_left_out_comes_a_day_later(self) -> None:
        """Apia had no 30 December 2011."""
        starts = local_starts(utc(2011, 10, 30, 22), "Pacific/Apia", "anniversary", 4)

        assert starts == [
            "2011-10-30 12:00 -1000",
            "2011-11-30 12:00 -1000",
            "2011-12-31 12:00 +1400",
            "2012-01-30 12:00 +1400",
        ]


class TestIntervals:
    def test_of_calendar_weeks_begin_on_mondays(self) -> None:
        """1 January 2026 is a Thursday; the clocks in Berlin change on Sunday, 29 March."""
        starts = local_starts(utc(2026, 3, 19, 12), "Europe/Berlin", "calendar", 4, "weekly")

        assert starts == [
            "2026-03-19 13:00 +0100",
            "2026-03-23 00:00 +0100",
            "2026-03-30 00:00 +0200",
            "2026-04-06 00:00 +0200",
        ]

    def test_of_anniversary_weeks_keep_weekday_and_clock_time(self) -> None:
        starts = local_starts(utc(2026, 3, 19, 12), "Europe/Berlin", "anniversary", 3, "weekly")

        assert starts[1:] == ["2026-03-26 13:00 +0100", "2026-04-02 13:00 +0200"]

    @pytest.mark.parametrize(
        ("interval", "following"),
        [
            ("quarterly", ["2026-07-01", "2026-10-01"]),
            ("half_yearly", ["2026-07-01", "2027-01-01"]),
            ("yearly", ["2027-01-01", "2028-01-01"]),
        ],
    )
    def test_of_the_calendar_begin_with_the_year(
        self, interval: Interval, following: list[str]
    ) -> None:
        starts = local_starts(utc(2026, 5, 20, 18), "Asia/Kathmandu", "calendar", 3, interval)

        assert [start[:16] for start in starts[1:]] == [f"{day} 00:00" for day in following]

    @pytest.mark.parametrize(
        ("interval", "following"),
        [
            ("quarterly", ["2026-02-28", "2026-05-30", "2026-08-30"]),
            ("half_yearly", ["2026-05-30", "2026-11-30", "2027-05-30"]),
            ("yearly", ["2026-11-30", "2027-11-30", "2028-11-30"]),
        ],
    )
    def test_from_the_start_clamp_the_day_without_keeping_the_clamp(
        self, interval: Interval, following: list[str]
    ) -> None:
        starts = local_starts(utc(2025, 11, 30), "UTC", "anniversary", 4, interval)

        assert [start[:10] for start in starts[1:]] == following

    def test_from_29_february_fall_on_the_28th_until_the_next_leap_year(self) -> None:
        starts = local_starts(utc(2024, 2, 29), "UTC", "anniversary", 5, "yearly")

        assert [start[:10] for start in starts[1:]] == [
            "2025-02-28",
            "2026-02-28",
            "2027-02-28",
            "2028-02-29",
        ]

    def test_of_other_lengths_are_refused(self) -> None:
        with pytest.raises(UnknownInterval, match="fortnightly"):
            BillingCycle(utc(2026, 1, 1), "UTC", "calendar", "fortnightly")  # type: ignore[arg-type]


class TestBillingCycle:
    @given(instants, zones, anchorings, intervals)
    def test_tiles_time_without_a_gap_or_an_overlap(
        self, start: datetime, zone: str, anchoring: Anchoring, interval: Interval
    ) -> None:
        cycle = BillingCycle(start, zone, anchoring, interval)
        periods = list(islice(billing_periods(cycle), 30))
        shortest, longest = DAYS[interval]

        assert periods[0].start == start
        assert periods[0].duration < timedelta(days=longest)
        for before, after in pairwise(periods):
            assert before.end == after.start
            # A whole day shorter where a zone left one out: Samoa had no 30 December 2011.
            assert timedelta(days=shortest) <= after.duration < timedelta(days=longest)

    @given(
        instants,
        zones,
        anchorings,
        intervals,
        st.timedeltas(timedelta(0), timedelta(days=9_000)),
    )
    def test_has_one_period_for_every_instant(
        self,
        start: datetime,
        zone: str,
        anchoring: Anchoring,
        interval: Interval,
        later: timedelta,
    ) -> None:
        cycle = BillingCycle(start, zone, anchoring, interval)
        instant = start + later

        period = billing_period_containing(instant, cycle)

        assert instant in period
        assert billing_period_containing(period.start, cycle) == period
        assert billing_period_containing(period.end, cycle).start == period.end
        if later < timedelta(days=180):
            assert period in list(islice(billing_periods(cycle), 30))

    @given(instants, zones, anchorings, intervals)
    def test_has_every_period_but_the_first_as_a_whole_one(
        self, start: datetime, zone: str, anchoring: Anchoring, interval: Interval
    ) -> None:
        cycle = BillingCycle(start, zone, anchoring, interval)
        first, *later = islice(billing_periods(cycle), 5)

        whole = whole_period_containing(start, cycle)
        assert whole.end == first.end
        assert whole.start <= start
        for period in later:
            assert whole_period_containing(period.start, cycle) == period
            assert whole_period_containing(period.end - timedelta(seconds=1), cycle) == period

    @given(instants, zones)
    def test_cuts_calendar_months_at_local_midnight_between_buckets(
        self, start: datetime, zone: str
    ) -> None:
        for instant in islice(boundaries(BillingCycle(start, zone)), 1, 15):
            local = instant.astimezone(ZoneInfo(zone))
            assert local.day == 1
            assert bucket_start(instant) == instant

    @given(instants, zones)
    def test_keeps_the_anniversarys_own_day_where_the_month_has_it(
        self, start: datetime, zone: str
    ) -> None:
        own_day = start.astimezone(ZoneInfo(zone)).day
        for instant in islice(boundaries(BillingCycle(start, zone, "anniversary")), 1, 15):
            local = instant.astimezone(ZoneInfo(zone))
            next_day = local + timedelta(days=1)
            skipped = local.date().isoformat() == "2011-12-31" and zone == "Pacific/Apia"
            assert local.day == own_day or next_day.day == 1 or skipped

    def test_knows_no_period_before_its_start(self) -> None:
        with pytest.raises(BeforeBilling):
            billing_period_containing(utc(2025, 1, 1), BillingCycle(utc(2026, 1, 1), "UTC"))

    def test_ends_where_the_calendar_does(self) -> None:
        cycle = BillingCycle(utc(9900, 11, 15), "Asia/Kathmandu")

        assert len(list(billing_periods(cycle))) == 2
        with pytest.raises(InstantOutOfRange):
            billing_period_containing(utc(9900, 12, 31, 23), cycle)

    @pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc", "Europe", "a\0"])
    def test_in_a_zone_that_does_not_exist_is_refused(self, zone: str) -> None:
        with pytest.raises(UnknownTimeZone):
            BillingCycle(utc(2026, 1, 1), zone)

    def test_from_a_naive_start_is_refused(self) -> None:
        with pytest.raises(NaiveInstant):
            BillingCycle(datetime(2026, 1, 1), "UTC")  # noqa: DTZ001 -- what is refused


class TestBucket:
    @pytest.mark.parametrize(
        ("instant", "start"),
        [
            (utc(2026, 1, 1, 10, 0), utc(2026, 1, 1, 10, 0)),
            (utc(2026, 1, 1, 10, 4), utc(2026, 1, 1, 10, 0)),
            (utc(2026, 1, 1, 10, 59) + timedelta(seconds=59), utc(2026, 1, 1, 10, 55)),
        ],
    )
    def test_starts_every_five_minutes(self, instant: datetime, start: datetime) -> None:
        assert bucket_start(instant) == start


class TestASpanInWords:
    def test_names_days_where_it_begins_and_ends_at_local_midnights(self) -> None:
        span = Period(utc(2026, 2, 28, 23), utc(2026, 3, 31, 22))

        assert span_in_words(span, "Europe/Berlin") == "2026-03-01 to 2026-04-01"
        assert span_in_words(span, "UTC") == "2026-02-28 23:00 to 2026-03-31 22:00"
