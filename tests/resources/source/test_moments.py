"""Times without a zone, ISO 8601 texts, and the instants they mean."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.source.moments import (
    MICROSECOND,
    first_wall_clock,
    iso_to_microseconds,
    to_microseconds,
    wall_clock,
)

BERLIN = ZoneInfo("Europe/Berlin")
# By half an hour, at two in the morning.
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
ZONES = [BERLIN, LORD_HOWE, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("instant", "zone", "wall"),
    [
        ("2024-07-15T12:00:00Z", BERLIN, "2024-07-15 14:00:00"),
        # The hour from two to three passes twice; the second time it has no time of its own.
        ("2024-10-27T00:30:00Z", BERLIN, "2024-10-27 02:30:00"),
        ("2024-10-27T00:59:59.999999Z", BERLIN, "2024-10-27 02:59:59.999999"),
        ("2024-10-27T01:00:00Z", BERLIN, "2024-10-27 03:00:00"),
        ("2024-10-27T01:30:00Z", BERLIN, "2024-10-27 03:00:00"),
        ("2024-10-27T01:59:59.999999Z", BERLIN, "2024-10-27 03:00:00"),
        ("2024-10-27T02:00:00Z", BERLIN, "2024-10-27 03:00:00"),
        # The hour from two to three is skipped: it counts as three o'clock does.
        ("2024-03-31T00:59:59.999999Z", BERLIN, "2024-03-31 01:59:59.999999"),
        ("2024-03-31T01:00:00Z", BERLIN, "2024-03-31 02:00:00"),
        ("2024-03-31T01:00:00.000001Z", BERLIN, "2024-03-31 03:00:00.000001"),
        ("2024-04-06T15:00:00Z", LORD_HOWE, "2024-04-07 02:00:00"),
        ("2024-04-06T15:20:00Z", LORD_HOWE, "2024-04-07 02:00:00"),
        ("1883-11-18T16:59:00Z", ZoneInfo("America/New_York"), "1883-11-18 12:02:58"),
        ("0001-01-01T00:00:00Z", ZoneInfo("America/New_York"), "0001-01-01 00:00:00"),
        ("9999-12-31T23:59:59Z", BERLIN, "9999-12-31 23:59:59"),
    ],
)
def test_the_first_wall_clock_at_or_after_an_instant(
    instant: str, zone: ZoneInfo, wall: str
) -> None:
    assert first_wall_clock(at(instant), zone) == at(wall)


def test_the_second_passing_of_an_hour_has_no_time_without_a_zone() -> None:
    assert wall_clock(at("2024-10-27T00:30:00Z"), BERLIN) == at("2024-10-27 02:30:00")
    assert wall_clock(at("2024-10-27T01:30:00Z"), BERLIN) is None


INSTANTS = st.datetimes(at("1970-01-01"), at("2037-01-01")).map(
    lambda each: each.replace(tzinfo=UTC)
)
# Around the changes of the clocks, where it matters.
NEAR_CHANGES = st.builds(
    lambda change, minutes: at(change) + timedelta(minutes=minutes),
    st.sampled_from(["2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z", "2024-04-06T15:00:00Z"]),
    st.integers(-120, 120),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(INSTANTS | NEAR_CHANGES, st.sampled_from(ZONES))
def test_it_is_the_least_time_that_is_not_before_the_instant(
    instant: datetime, zone: ZoneInfo
) -> None:
    first = first_wall_clock(instant, zone)

    def means(wall: datetime) -> datetime:
        return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)

    assert means(first) >= instant
    assert means(first - MICROSECOND) < instant or not exists(first - MICROSECOND, zone)


def exists(wall: datetime, zone: ZoneInfo) -> bool:
    back = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return back.replace(tzinfo=None, fold=0) == wall


@settings(max_examples=200, deadline=None, derandomize=True)
@given(INSTANTS | NEAR_CHANGES, st.integers(0, 4 * 3_600_000_000), st.sampled_from(ZONES))
def test_a_later_instant_has_no_earlier_time(
    instant: datetime, microseconds: int, zone: ZoneInfo
) -> None:
    later = instant + timedelta(microseconds=microseconds)
    assert first_wall_clock(later, zone) >= first_wall_clock(instant, zone)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-31", "2024-01-30T23:00:00Z"),
        ("2024-01-31 10:20", "2024-01-31T09:20:00Z"),
        ("2024-01-31T10:20:30", "2024-01-31T09:20:30Z"),
        ("2024-01-31T10:20:30Z", "2024-01-31T10:20:30Z"),
        ("2024-01-31t10:20:30.5z", "2024-01-31T10:20:30.5Z"),
        ("2024-01-31 10:20:30.000001+02:00", "2024-01-31T08:20:30.000001Z"),
        ("2024-01-31 10:20:30 +0530", "2024-01-31T04:50:30Z"),
        ("2024-01-31T10:20:30-08", "2024-01-31T18:20:30Z"),
        ("2024-01-31T10:20:30.123456000Z", "2024-01-31T10:20:30.123456Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
    ],
)
def test_an_iso_text_is_an_instant(text: str, instant: str) -> None:
    assert iso_to_microseconds(text, BERLIN) == to_microseconds(at(instant))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "20240131",
        "2024-W05-1",
        "2024-1-31",
        "2024-02-30",
        "2024-01-31T25:00:00Z",
        "2024-01-31T10:20:30.1234567Z",
        "2024-01-31T10:20:30 CET",
        "2024-01-31T10:20:30Z ",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\u0662\u0660\u0662\u0664-01-01",
    ],
)
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ISO|beyond|must|range|Invalid|day"):
        iso_to_microseconds(text, ZoneInfo("UTC"))
