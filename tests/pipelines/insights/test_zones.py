"""Clocks of zones, for many values at once, go as Python's do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.insights.zones import clock_of, to_instant
from resources.source.moments import first_wall_clock, to_microseconds

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
     "Africa/Casablanca", "Asia/Kathmandu"]
)  # fmt: skip
MOMENTS = st.datetimes(datetime(1880, 1, 1), datetime(2190, 1, 1))  # noqa: DTZ001 - walls


@settings(max_examples=200, deadline=None)
@given(ZONES, MOMENTS)
def test_a_time_without_a_zone_means_what_conditions_on_the_source_take_it_for(
    zone: str, wall: datetime
) -> None:
    clock = clock_of(zone)
    walls = np.array([to_microseconds(wall.replace(tzinfo=UTC))], np.int64)

    meant = to_instant(int(clock.instants(walls)[0]))

    # The condition "at or after an instant" takes the row just where the instant is not later.
    assert wall >= first_wall_clock(meant, ZoneInfo(zone))
    assert wall < first_wall_clock(meant + timedelta(microseconds=1), ZoneInfo(zone))


@settings(max_examples=40, deadline=None)
@given(ZONES, st.lists(MOMENTS, min_size=1, max_size=5))
def test_days_are_those_of_the_zone_in_python_and_in_sql(
    zone: str, moments: list[datetime]
) -> None:
    clock = clock_of(zone)
    instants = [to_microseconds(moment.replace(tzinfo=UTC)) for moment in moments]
    days = [to_instant(each).astimezone(ZoneInfo(zone)).date() for each in instants]
    sql = clock.day_sql("at_", min(instants), max(instants))

    rows = ", ".join(f"({index}, {each})" for index, each in enumerate(instants))
    query = f"SELECT {sql} FROM (VALUES {rows}) AS v(i, at_) ORDER BY i"
    found = [day for (day,) in duckdb.execute(query).fetchall()]

    assert [clock.day(each) for each in instants] == days
    assert found == days


def test_a_day_that_a_zone_skipped_begins_with_the_next() -> None:
    clock = clock_of("Pacific/Apia")  # there was no 30 December 2011
    assert clock.first_instant(date(2011, 12, 30)) == clock.first_instant(date(2011, 12, 31))
