"""Windows are whole days, weeks, months or hours of a zone, told by the time of the tick."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.schedules.windows import NAMES, Window, check_window, window_at
from resources.timestamps import parse_rfc3339

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [
        *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"),
        *("America/Havana", "Africa/Cairo", "Asia/Beirut", "Pacific/Chatham", "America/Sao_Paulo"),
    ]
).map(ZoneInfo)
WINDOWS = st.one_of(
    st.sampled_from(NAMES),
    st.tuples(st.integers(1, 400), st.sampled_from("dh")).map(lambda each: f"-{each[0]}{each[1]}"),
)
INSTANTS = st.integers(631_152_000, 2_208_988_800).map(  # from 1990 to 2040
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


def bounds(window: Window | None) -> tuple[datetime, datetime]:
    """Its first instant, and the first one after it."""
    assert window is not None
    return parse_rfc3339(window.date_from), parse_rfc3339(window.date_to) + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("window", "date_from", "date_to"),
    [
        ("yesterday", "2024-05-14T22:00:00Z", "2024-05-15T21:59:59Z"),
        ("last_week", "2024-05-05T22:00:00Z", "2024-05-12T21:59:59Z"),  # Monday to Sunday
        ("last_month", "2024-03-31T22:00:00Z", "2024-04-30T21:59:59Z"),
        ("-1d", "2024-05-14T22:00:00Z", "2024-05-15T21:59:59Z"),
        ("-7d", "2024-05-08T22:00:00Z", "2024-05-15T21:59:59Z"),
        ("-12h", "2024-05-15T12:00:00Z", "2024-05-15T23:59:59Z"),
    ],
)
def test_a_window_is_told_in_the_zone_of_the_schedule(
    window: str, date_from: str, date_to: str
) -> None:
    tick = datetime(2024, 5, 16, 2, 45, tzinfo=BERLIN)  # a Thursday; the day before in UTC

    assert window_at(window, tick, BERLIN) == Window(date_from, date_to)


@pytest.mark.parametrize("weekday", range(7))
def test_last_week_is_the_same_on_each_day_of_a_week(weekday: int) -> None:
    monday = datetime(2024, 5, 13, 0, 0, tzinfo=BERLIN)

    window = window_at("last_week", monday + timedelta(days=weekday), BERLIN)

    assert window == Window("2024-05-05T22:00:00Z", "2024-05-12T21:59:59Z")


@pytest.mark.parametrize(
    ("day_after", "hours"),
    [
        (datetime(2024, 4, 1, 5, tzinfo=BERLIN), 23),  # clocks went forward on March 31
        (datetime(2024, 10, 28, 5, tzinfo=BERLIN), 25),  # and back on October 27
        (datetime(2024, 10, 29, 5, tzinfo=BERLIN), 24),
    ],
)
def test_a_day_on_which_the_clocks_change_is_whole(day_after: datetime, hours: int) -> None:
    start, end = bounds(window_at("yesterday", day_after, BERLIN))

    assert end - start == timedelta(hours=hours)
    assert start.astimezone(BERLIN).time() == end.astimezone(BERLIN).time() == datetime.min.time()


def test_hours_are_as_long_as_hours_are_while_the_clocks_change() -> None:
    tick = datetime(2024, 10, 27, 4, 10, tzinfo=BERLIN)

    start, end = bounds(window_at("-3h", tick, BERLIN))

    assert end - start == timedelta(hours=3)
    # Two of the three are called "two o'clock to three o'clock".
    assert start.astimezone(BERLIN) == datetime(2024, 10, 27, 2, 0, tzinfo=BERLIN)


def test_the_doubled_hour_is_two_hours() -> None:
    first = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)

    assert bounds(window_at("-1h", second, BERLIN))[0] == bounds(window_at("-1h", first, BERLIN))[1]


def test_a_day_whose_midnight_is_left_out_begins_at_once_after_it() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 2024-04-26 begins at 01:00

    start, end = bounds(window_at("yesterday", datetime(2024, 4, 27, 9, tzinfo=cairo), cairo))

    assert end - start == timedelta(hours=23)
    assert start.astimezone(cairo) == datetime(2024, 4, 26, 1, tzinfo=cairo)


def test_there_is_no_time_in_a_day_that_was_left_out() -> None:
    apia = ZoneInfo("Pacific/Apia")  # no 2011-12-30

    assert window_at("yesterday", datetime(2011, 12, 31, 9, tzinfo=apia), apia) is None
    assert window_at("-2d", datetime(2011, 12, 31, 9, tzinfo=apia), apia) is not None


@given(window=WINDOWS, tick=INSTANTS, zone=ZONES)
def test_a_window_is_over_when_its_tick_is_due(window: str, tick: datetime, zone: ZoneInfo) -> None:
    start, end = bounds(window_at(window, tick, zone))

    assert start < end <= tick


@given(tick=INSTANTS, zone=ZONES)
def test_the_yesterdays_of_two_days_meet(tick: datetime, zone: ZoneInfo) -> None:
    noon = tick.astimezone(zone).replace(hour=12, minute=0, fold=0)  # the clocks change at night

    first = bounds(window_at("yesterday", noon, zone))
    second = bounds(window_at("yesterday", noon + timedelta(days=1), zone))  # on the clock

    assert first[1] == second[0]


@given(tick=INSTANTS, zone=ZONES, number=st.integers(1, 60))
def test_the_latest_days_end_with_yesterday_and_are_so_many(
    tick: datetime, zone: ZoneInfo, number: int
) -> None:
    days = bounds(window_at(f"-{number}d", tick, zone))
    yesterday = bounds(window_at("yesterday", tick, zone))

    assert days[1] == yesterday[1]
    middle = days[0] + timedelta(hours=12)  # in the first of them
    assert (yesterday[1].astimezone(zone).date() - middle.astimezone(zone).date()).days == number


@given(window=WINDOWS, tick=INSTANTS, zone=ZONES, late=st.integers(0, 59))
def test_a_window_does_not_depend_on_the_zone_that_the_tick_is_told_in(
    window: str, tick: datetime, zone: ZoneInfo, late: int
) -> None:
    elsewhere = tick.astimezone(ZoneInfo("Asia/Tokyo"))

    assert window_at(window, tick, zone) == window_at(window, elsewhere, zone)


@pytest.mark.parametrize(
    "window", ["tomorrow", "", "7d", "-0d", "-7", "-7w", "-d", "-1.5d", "-\u0667d"]
)
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match=r"yesterday, last_week, last_month.*-7d or -12h"):
        check_window(window)
