"""RFC 3339 as the API reads and writes it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.timestamps import has_fraction, normalize_rfc3339, now, parse_rfc3339, to_rfc3339

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-01T00:00:00Z", NEW_YEAR),
        ("2024-01-01t00:00:00z", NEW_YEAR),
        ("2024-01-01T00:00:00-00:00", NEW_YEAR),
        ("2024-01-01T05:30:00+05:30", NEW_YEAR),
        ("2023-12-31T16:00:00-08:00", NEW_YEAR),
        ("2024-01-01T23:59:00+23:59", NEW_YEAR),
        ("2024-01-01T00:00:00.5Z", NEW_YEAR + timedelta(milliseconds=500)),
        ("2024-01-01T00:00:00.000001Z", NEW_YEAR + timedelta(microseconds=1)),
        ("1969-12-31T23:59:59.999999Z", datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_text_names_an_instant_in_utc(text: str, instant: datetime) -> None:
    parsed = parse_rfc3339(text)
    assert parsed == instant
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-01",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00,5Z",
        "2024-01-01T00:00:00.1234567Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00+01",
        "2024-01-01T00:00:00+01:60",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00Z\n",
        " 2024-01-01T00:00:00Z",
        "20240101T000000Z",
        "12024-01-01T00:00:00Z",
        "\uff12\uff10\uff12\uff14-01-01T00:00:00Z",
        "now",
    ],
)
def test_what_is_not_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 date-time"):
        parse_rfc3339(text)


@pytest.mark.parametrize("text", ["2024-01-01T00:00:00", "2024-01-01T00:00:00.5"])
def test_an_offset_is_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match="has no offset"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "2024-01-01T00:00:00+24:00",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NEW_YEAR, "2024-01-01T00:00:00Z"),
        (NEW_YEAR + timedelta(microseconds=1), "2024-01-01T00:00:00.000001Z"),
        (NEW_YEAR.astimezone(timezone(timedelta(hours=2))), "2024-01-01T00:00:00Z"),
        (datetime(33, 4, 3, tzinfo=UTC), "0033-04-03T00:00:00Z"),
    ],
)
def test_an_instant_is_written_in_utc(instant: datetime, text: str) -> None:
    assert to_rfc3339(instant) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_as_the_same_instant(instant: datetime) -> None:
    assert parse_rfc3339(to_rfc3339(instant)) == instant


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01t00:00:00z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:00:00.0+02:00", "2024-01-01T00:00:00.000000Z"),
        ("2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.500000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_normal_form_keeps_the_fraction_or_the_lack_of_one(text: str, normal: str) -> None:
    assert normalize_rfc3339(text) == normal
    assert normalize_rfc3339(normal) == normal
    assert has_fraction(normal) == has_fraction(text)


def test_now_is_in_utc_and_does_not_go_back() -> None:
    first, second = now(), now()
    assert first <= second
    assert first.utcoffset() == timedelta(0)
