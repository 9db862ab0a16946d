"""Which window a report is on, whatever the clocks do."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.insights.figures import Window
from pipelines.report.periods import (
    Bucket,
    bounds,
    bucket_end,
    bucket_of,
    day_start,
    is_cut,
    last_whole,
    previous,
    whole_days,
    whole_months,
)
from resources.task_types.report_generation import ReportPeriod
from tests.support.businesses import window

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",  # its clocks went forward at midnight until 2018
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "Africa/Casablanca",
]
instants = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants them so
    datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@settings(max_examples=60, deadline=None)  # the first look at a zone takes a while
@given(at=instants, zone=st.sampled_from(ZONES), period=st.sampled_from(ReportPeriod))
def test_the_last_whole_period_ended_before_and_ends_less_than_another_one_ago(
    at: datetime, zone: str, period: ReportPeriod
) -> None:
    found = last_whole(period, at, zone)
    start, end = bounds(found)
    longest = {ReportPeriod.DAY: 1, ReportPeriod.WEEK: 7, ReportPeriod.MONTH: 31}[period]

    assert start < end <= at
    assert at - end < timedelta(days=longest, hours=25)
    first, last = whole_days(found) or (None, None)
    assert first is not None
    assert last is not None
    match period:
        case ReportPeriod.DAY:
            assert first == last
        case ReportPeriod.WEEK:
            assert (first.weekday(), last.weekday(), last - first) == (0, 6, timedelta(days=6))
        case ReportPeriod.MONTH:
            assert first.day == (last + timedelta(days=1)).day == 1
            assert (first.year, first.month) == (last.year, last.month)


@settings(max_examples=60, deadline=None)  # the first look at a zone takes a while
@given(at=instants, zone=st.sampled_from(ZONES), period=st.sampled_from(ReportPeriod))
def test_a_period_at_its_end_is_followed_by_the_same_one(
    at: datetime, zone: str, period: ReportPeriod
) -> None:
    found = last_whole(period, at, zone)
    _, end = bounds(found)

    assert last_whole(period, end, zone) == found
    before = last_whole(period, end - timedelta(microseconds=1), zone)
    assert bounds(before)[1] <= bounds(found)[0]


@settings(max_examples=60, deadline=None)  # the first look at a zone takes a while
@given(at=instants, zone=st.sampled_from(ZONES), period=st.sampled_from(ReportPeriod))
def test_the_period_before_ends_where_a_period_begins(
    at: datetime, zone: str, period: ReportPeriod
) -> None:
    found = last_whole(period, at, zone)
    earlier = previous(found)

    assert bounds(earlier)[1] == bounds(found)[0]
    days = whole_days(earlier)
    assert days is not None
    if period is ReportPeriod.MONTH:
        assert whole_months(earlier) == 1
    elif zone != "Pacific/Apia":
        now = whole_days(found)
        assert now is not None
        assert days[1] - days[0] == now[1] - now[0]


@settings(max_examples=60, deadline=None)  # the first look at a zone takes a while
@given(
    start=instants,
    length=st.timedeltas(timedelta(seconds=1), timedelta(days=4000)),
    zone=st.sampled_from(ZONES),
)
def test_any_window_is_preceded_by_one_of_about_its_length(
    start: datetime, length: timedelta, zone: str
) -> None:
    of = Window(start, start + length, zone)
    before, end = bounds(previous(of))

    assert end == start
    if whole_days(of) is None:
        assert end - before == length


@pytest.mark.parametrize(
    ("zone", "at", "start", "end"),
    [
        # A day of 23 hours, and one of 25.
        ("Europe/Berlin", "2025-03-31T10:00", "2025-03-29T23:00", "2025-03-30T22:00"),
        ("Europe/Berlin", "2025-10-27T10:00", "2025-10-25T22:00", "2025-10-26T23:00"),
        # A day that begins at one o'clock.
        ("America/Sao_Paulo", "2018-11-05T12:00", "2018-11-04T03:00", "2018-11-05T02:00"),
        # A day that was none: the one before it.
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-29T10:00", "2011-12-30T10:00"),
    ],
)
def test_a_day_has_the_hours_that_its_zone_gives_it(
    zone: str, at: str, start: str, end: str
) -> None:
    found = last_whole(ReportPeriod.DAY, datetime.fromisoformat(at + "Z"), zone)

    assert bounds(found) == tuple(datetime.fromisoformat(each + "Z") for each in (start, end))


@pytest.mark.parametrize(
    ("created", "month", "before"),
    [
        ("2024-03-15", ("2024-02-01", "2024-02-29"), ("2024-01-01", "2024-01-31")),
        ("2025-03-31", ("2025-02-01", "2025-02-28"), ("2025-01-01", "2025-01-31")),
        ("2026-01-01", ("2025-12-01", "2025-12-31"), ("2025-11-01", "2025-11-30")),
        ("2025-02-01", ("2025-01-01", "2025-01-31"), ("2024-12-01", "2024-12-31")),
    ],
)
def test_months_are_those_of_the_calendar(
    created: str, month: tuple[str, str], before: tuple[str, str]
) -> None:
    found = last_whole(ReportPeriod.MONTH, datetime.fromisoformat(created + "T00:00Z"), "UTC")

    assert [str(day) for day in whole_days(found) or ()] == [*month]
    assert [str(day) for day in whole_days(previous(found)) or ()] == [*before]


def test_the_zone_decides_which_month_was_the_last() -> None:
    at = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)

    months = {
        zone: (whole_days(last_whole(ReportPeriod.MONTH, at, zone)) or (date.min,))[0].month
        for zone in ("UTC", "Europe/Berlin")
    }

    assert months == {"UTC": 11, "Europe/Berlin": 12}


def test_dates_that_are_whole_months_are_compared_with_months() -> None:
    quarter = window(date(2025, 1, 1), date(2025, 4, 1))

    assert whole_months(quarter) == 3
    assert whole_days(previous(quarter)) == (date(2024, 10, 1), date(2024, 12, 31))


def test_a_window_open_at_an_end_is_none_of_a_report() -> None:
    with pytest.raises(ValueError, match="start and an end"):
        bounds(Window(None, datetime(2025, 1, 1, tzinfo=UTC), "UTC"))


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(1, Bucket.DAY), (45, Bucket.DAY), (46, Bucket.WEEK), (366, Bucket.WEEK), (400, Bucket.MONTH)],
)
def test_long_windows_have_longer_buckets(days: int, bucket: Bucket) -> None:
    first = date(2024, 1, 1)

    assert bucket_of(window(first, first + timedelta(days=days))) is bucket


@pytest.mark.parametrize(
    ("start", "bucket", "end"),
    [
        (date(2024, 2, 28), Bucket.DAY, date(2024, 2, 29)),
        (date(2024, 12, 30), Bucket.WEEK, date(2025, 1, 6)),
        (date(2024, 12, 1), Bucket.MONTH, date(2025, 1, 1)),
    ],
)
def test_a_bucket_ends_where_the_next_one_begins(start: date, bucket: Bucket, end: date) -> None:
    assert bucket_end(start, bucket) == end


def test_a_bucket_is_cut_where_the_window_does_not_hold_it() -> None:
    of = window(date(2025, 1, 1), date(2025, 3, 1), "Europe/Berlin")

    cut = [is_cut(date(2024, 12, 30) + timedelta(weeks=week), Bucket.WEEK, of) for week in range(9)]

    assert cut == [True, *[False] * 7, True]


def test_a_day_begins_at_its_zones_midnight() -> None:
    at = day_start(date(2025, 7, 1), "Europe/Berlin")

    assert at.isoformat() == "2025-06-30T22:00:00+00:00"
