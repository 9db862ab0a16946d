"""What cron expressions are taken: none that Dagster reads in another way, none that never come."""

import re
from datetime import UTC, datetime

import pytest
from dagster._utils.schedules import (
    CroniterShim,
    has_out_of_range_cron_interval,
    is_valid_cron_schedule,
)
from dagster._utils.schedules import schedule_execution_time_iterator as ticks
from hypothesis import given
from hypothesis import strategies as st

from resources.schedules.cron import SHORTHANDS, check_cron, expand

# Not right after a 29th of February, where Dagster's own look back at */3 of days goes wrong.
FROM = datetime(2025, 6, 1, tzinfo=UTC)
# The 29th of February comes after four years, on a given day of the week after 28.
LONGEST_WAIT_YEARS = 4
WEEKDAY = 4


def field(least: int, most: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    value = st.one_of(st.integers(least, most).map(str), *map(st.just, names))
    spans = st.sets(st.integers(least, most), min_size=2, max_size=2).map(sorted)
    ranges = spans.map(lambda each: f"{each[0]}-{each[1]}")
    steps = spans.flatmap(
        lambda each: st.integers(1, each[1]).map(lambda step: f"{each[0]}-{each[1]}/{step}")
    )
    all_steps = st.integers(1, most).map(lambda step: f"*/{step}")
    items = st.lists(st.one_of(value, ranges, steps, all_steps), min_size=1, max_size=3)
    return st.one_of(st.just("*"), items.map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59),
    field(0, 23),
    field(1, 31),
    field(1, 12, ("jan", "FEB", "dec")),
    field(0, 7, ("sun", "Mon", "sat")),
).map(" ".join)


def as_dagster_reads(text: str) -> list[set[int]]:
    """The values of each field, Sunday as 0."""
    read = CroniterShim.expand(text)[0]
    everything = [range(60), range(24), range(1, 32), range(1, 13), range(7)]
    return [
        {*every} if values == ["*"] else {*values}
        for values, every in zip(read, everything, strict=True)
    ]


def accepted(text: str) -> bool:
    try:
        check_cron(text)
    except ValueError:
        return False
    return True


@given(EXPRESSIONS)
def test_what_is_taken_dagster_takes_too_and_it_comes(text: str) -> None:
    if not accepted(text):  # of a right shape: it can only be one that never comes
        with pytest.raises(ValueError, match="never comes"):
            check_cron(text)
        return

    assert is_valid_cron_schedule(text)
    assert as_dagster_reads(text) == [
        {value % 7 for value in values} if index == WEEKDAY else values
        for index, values in enumerate(expand(text))
    ]
    assert not has_out_of_range_cron_interval(text)
    first = next(ticks(FROM.timestamp(), text, "Europe/Berlin"))
    assert first.year - FROM.year <= LONGEST_WAIT_YEARS


@given(st.text(alphabet="0123456789*/-, @LW#?monjan", max_size=20))
def test_no_text_is_taken_that_dagster_would_refuse(text: str) -> None:
    if accepted(text):
        assert is_valid_cron_schedule(text)


@pytest.mark.parametrize("text", SHORTHANDS)
def test_the_usual_shorthands_are_taken(text: str) -> None:
    check_cron(text)

    assert is_valid_cron_schedule(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@noon", "@hourly"),
        ("60 * * * *", 'the minute "60" should be 0 to 59'),
        ("* 24 * * *", 'the hour "24" should be 0 to 23'),
        ("* * 0 * *", "1 to 31"),
        ("* * * foo *", "1 to 12 or jan to dec"),
        ("* * * * 8", "0 to 7 or sun to sat"),
        ("-5 * * * *", "a number, a range"),
        ("5,,6 * * * *", "a number, a range"),
        ("30-10 * * * *", "from a lower to a higher"),
        ("0 5 * * 3-3", "from a lower to a higher"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*/0 * * * *", "steps of 1 to 59"),
        ("5,* * * * *", "write *"),
        ("0-3/5 * * * *", "steps of 1 to 3"),
        ("*/90 * * * *", "steps of 1 to 59"),
        ("0 0 L * *", "1 to 31"),
        ("0 0 * * 5#2", "a number, a range"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 2,4,6 *", "never comes"),
        ("0 0 30 2 mon", "never comes"),
        ("\u0663 * * * *", "a number, a range"),
    ],
)
def test_what_is_refused_is_told_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check_cron(text)


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 29,30 2 mon"])
def test_what_comes_seldom_comes(text: str) -> None:
    check_cron(text)
    assert next(ticks(FROM.timestamp(), text, "UTC"))
