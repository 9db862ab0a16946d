"""What a report says of two windows' figures."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipelines.insights.figures import Business, Headline, Share
from pipelines.report.content import MOST_CHARACTERS, shown
from pipelines.report.model import SCHEMA, Unit
from pipelines.report.periods import Bucket, previous
from tests.support.businesses import (
    DECEMBER,
    HOSTILE_NAMES,
    READ_AT,
    business,
    empty_business,
    report,
    unknown_business,
    window,
)

OF = window(*DECEMBER)


def with_headline(of: Business, **figures: Any) -> Business:
    return replace(of, headline=replace(of.headline, **figures))


def test_it_says_where_it_comes_from() -> None:
    made = report(business(OF))

    assert (made.schema, made.task, made.snapshot_at) == (SCHEMA, 12, READ_AT)
    assert (made.window.start, made.window.end) == (OF.start, OF.end)
    assert made.before.end == made.window.start
    assert not made.is_empty


def test_figures_are_compared_with_the_period_before() -> None:
    now, before = business(OF), business(previous(OF))
    now = with_headline(now, bookings=150, cancellation_rate=0.12, refund_rate=0.1)
    before = with_headline(before, bookings=120, cancellation_rate=0.10, refund_rate=0.1)

    made = report(now, before)

    bookings = made.figure("bookings")
    assert (bookings.now, bookings.before, bookings.change) == (150, 120, 0.25)
    rate = made.figure("cancellation_rate")
    assert rate.unit is Unit.RATE
    assert rate.change == pytest.approx(0.02)
    assert made.figure("refund_rate").change == 0


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [
        (Decimal(50), Decimal(100), -0.5),
        (Decimal(50), Decimal(0), None),
        (Decimal(0), Decimal(0), None),
        (Decimal(-50), Decimal(100), -1.5),
        (Decimal(50), Decimal(-100), 1.5),
    ],
)
def test_a_change_of_money_is_relative_to_what_was(
    now: Decimal, before: Decimal, change: float | None
) -> None:
    made = report(
        with_headline(business(OF), revenue={"EUR": now}),
        with_headline(business(previous(OF)), revenue={"EUR": before}),
    )

    assert made.figure("revenue", "EUR").change == change


def test_currencies_stand_side_by_side_and_are_never_added_up() -> None:
    now = with_headline(business(OF), revenue={"EUR": Decimal(3), "USD": Decimal(4)})
    before = with_headline(business(previous(OF)), revenue={"JPY": Decimal(5)})

    made = report(now, before)

    revenue = {each.currency: (each.now, each.before) for each in made.figures
               if each.name == "revenue"}  # fmt: skip
    assert revenue == {
        "EUR": (3, 0), "JPY": (0, 5), "RUB": (0, 0), "USD": (4, 0),
    }  # fmt: skip
    assert made.currencies == ["EUR", "JPY", "RUB", "USD"]


def test_what_the_source_cannot_tell_is_unknown_and_not_zero() -> None:
    made = report(unknown_business(OF), unknown_business(previous(OF)))

    assert made.figure("revenue").now is None
    assert made.figure("new_users").now is None
    assert made.figure("bookings").now
    assert [each.missing for each in made.left_out] == ["payments.roles.amount"]
    assert not made.is_empty


def test_an_average_of_no_bookings_is_unknown() -> None:
    now = with_headline(business(OF), average_booking={"EUR": Decimal(10)})
    before = with_headline(business(previous(OF)), average_booking={})

    figure = report(now, before).figure("average_booking", "EUR")

    assert (figure.now, figure.before, figure.change) == (10, None, None)


def test_an_empty_window_is_told_as_one() -> None:
    made = report(empty_business(OF))

    assert made.is_empty
    assert made.figure("bookings").now == 0


def test_a_window_with_refunds_alone_is_not_empty() -> None:
    refunds = with_headline(empty_business(OF), revenue={"EUR": Decimal("-0.01")})

    assert not report(refunds).is_empty


def test_shares_are_of_all_of_their_kind() -> None:
    made = report(replace(business(OF), methods=[
        Share("card", 3, None), Share(None, 1, None)
    ]))  # fmt: skip

    assert [(row.name, row.share, row.is_rest) for row in made.methods] == [
        ("card", 0.75, False),
        (None, 0.25, False),
    ]


def test_what_is_beyond_the_top_is_told_as_the_rest() -> None:
    made = report(business(OF))

    assert [row.is_rest for row in made.services] == [False] * 20 + [True]
    assert made.services[-1].name is None


def test_a_single_day_stands_beside_the_day_before() -> None:
    last = DECEMBER[1] - timedelta(days=1)
    made = report(business(window(last, DECEMBER[1])))

    assert [(point.start, point.is_before) for point in made.points] == [
        (last - timedelta(days=1), True),
        (last, False),
    ]


def test_long_windows_are_shown_by_week_and_by_month() -> None:
    quarter = report(business(window(date(2025, 10, 1), date(2026, 1, 1))))
    years = report(business(window(date(2016, 1, 15), date(2026, 1, 1))))

    assert (quarter.bucket, len(quarter.points)) == (Bucket.WEEK, 14)
    assert [point.is_cut for point in quarter.points] == [True, *[False] * 12, True]
    assert (years.bucket, len(years.points)) == (Bucket.MONTH, 120)
    assert [point.is_cut for point in years.points] == [True, *[False] * 119]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_shown_in_one_line_that_ends_and_hides_nothing(name: str) -> None:
    line = shown(name)

    assert 0 < len(line) <= MOST_CHARACTERS
    assert line.isprintable() or "\u200d" in line
    assert line == shown(line)


def test_usual_names_are_shown_as_they_are() -> None:
    for name in ("Deep tissue massage, 60'", "Стрижка", "مساج", "👩\u200d👧 x", "\ufffd"):
        assert shown(name) == name
    assert shown("a\ud83d\x00b\u202ec") == "a\ufffd\ufffdbc"


def test_a_headline_has_nothing_that_a_report_leaves_out() -> None:
    told = {figure.name for figure in report(business(OF)).figures}

    assert told == set(Headline.__dataclass_fields__)


def test_what_was_not_over_when_the_source_was_read_is_marked() -> None:
    read_at = datetime(2025, 12, 20, 12, tzinfo=UTC)
    last = date(2025, 12, 20)

    points = report(business(OF), snapshot_at=read_at).points
    day = report(business(window(last, last + timedelta(days=1))), snapshot_at=read_at).points

    assert [point.start.day for point in points if point.is_cut] == [*range(20, 32)]
    assert [point.is_cut for point in day] == [False, True]
