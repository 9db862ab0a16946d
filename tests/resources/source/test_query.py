"""Which rows a selection selects: held against the contract, evaluated row by row in Python."""

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.source.dataset import Dataset
from tests.resources.source.conftest import TABLE, Source

ONE_SECOND = timedelta(seconds=1)
GREATEST = 2**63 - 1

# --- The contract, in plain Python ---


@dataclass(frozen=True)
class Fact:
    """One row. `digits`: how many digits its time's fraction has at least, written as text."""

    id: int
    status: str | None
    total: Decimal | None
    ok: bool | None
    created_at: datetime | None
    digits: int

    def stored(self, dialect: str) -> tuple[Any, ...]:
        if dialect == "postgresql":
            return (self.id, self.status, self.total, self.ok, self.created_at)
        total = None if self.total is None else str(self.total)
        return (self.id, self.status, total, self.ok, spelled(self.created_at, self.digits))


def spelled(moment: datetime | None, digits: int) -> str | None:
    if moment is None:
        return None
    fraction = f"{moment.microsecond:06}"
    kept = fraction[: max(digits, len(fraction.rstrip("0")))]
    whole = moment.replace(microsecond=0).isoformat(sep=" ")
    return f"{whole}.{kept}" if kept else whole


@dataclass(frozen=True)
class Request:
    """What is asked for, and the zone that the dataset's times are meant in."""

    filters: Mapping[str, Any]
    date_from: str | None
    date_to: str | None
    zone: str

    def selects(self, fact: Fact) -> bool:
        return self._in_window(fact) and all(
            self._meets(field, self._value(fact, field), stated)
            for field, stated in self.filters.items()
        )

    def _value(self, fact: Fact, field: str) -> Any:
        value = getattr(fact, field)
        return instant_of(value, self.zone) if isinstance(value, datetime) else value

    def _in_window(self, fact: Fact) -> bool:
        at = self._value(fact, "created_at")
        if at is None:
            return self.date_from is None and self.date_to is None
        if self.date_from is not None and at < datetime.fromisoformat(self.date_from):
            return False
        if self.date_to is None:
            return True
        last = datetime.fromisoformat(self.date_to)
        return bool(at <= last if "." in self.date_to else at < last + ONE_SECOND)

    def _meets(self, field: str, value: Any, stated: Any) -> bool:
        if stated is None:
            return value is None
        if isinstance(stated, list):
            return any(self._meets(field, value, each) for each in stated)
        if not isinstance(stated, dict):
            stated = {"eq": stated}
        return value is not None and all(
            COMPARISONS[name](value, meant(field, each)) for name, each in stated.items()
        )


# When clocks are set forward, and back, by how much, in the year of the rows.
CHANGES = {
    "Europe/Berlin": ("2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
    "America/New_York": ("2024-03-10T07:00:00Z", "2024-11-03T06:00:00Z"),
}


def instant_of(moment: datetime, zone: str) -> datetime:
    """What a time without a zone means: the first of two; where it is skipped, the change."""
    instant = moment.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    is_skipped = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) != moment
    return datetime.fromisoformat(CHANGES[zone][0]) if is_skipped else instant


def meant(field: str, value: Any) -> Any:
    match field:
        case "total":
            return Decimal(str(value))
        case "created_at":
            return datetime.fromisoformat(value)
    return value


def is_like(value: str, pattern: str) -> bool:
    tokens = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"%": ".*", "_": "."}
    regex = "".join(wildcards.get(token) or re.escape(token[-1]) for token in tokens)
    return re.fullmatch(regex, value, re.DOTALL) is not None


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": is_like,
}

# --- Rows, and requests about them ---

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
OFFSETS = {"Z": 0.0, "+01:00": 1.0, "-05:00": -5.0, "+05:30": 5.5}
IDS = st.integers(-4, 20) | st.sampled_from([-GREATEST - 1, GREATEST])
TEXTS = st.text(st.sampled_from("aAbé%_\\*?['\n😀"), max_size=3)
CENTS = st.integers(-250, 250).map(lambda cents: Decimal(cents) / 100)
# Two ordinary days, and those on which a clock is changed: there a time without a zone may mean two
# instants, or none.
MOMENTS = st.builds(
    datetime,
    year=st.just(2024),
    month=st.sampled_from([1, 7]),
    day=st.just(15),
    hour=st.sampled_from([0, 12, 23]),
    minute=st.just(0),
    second=st.sampled_from([0, 1]),
    microsecond=st.sampled_from([0, 1, 100_000, 999_999]),
) | st.builds(
    lambda day, time: datetime.fromisoformat(f"2024-{day} {time}"),
    st.sampled_from(["03-31", "10-27", "03-10", "11-03"]),
    st.sampled_from(["00:59:59.999999", "01:00:00", "02:00:00", "02:30:00", "03:00:00"]),
)
FACTS = st.builds(
    Fact,
    id=IDS,
    status=st.none() | TEXTS,
    total=st.none() | CENTS,
    ok=st.none() | st.booleans(),
    created_at=st.none() | MOMENTS,
    digits=st.integers(0, 6),
)


@st.composite
def instants(draw: st.DrawFn, moments: Sequence[datetime], zone: str) -> str:
    """A time in words, often one of ``moments``."""
    moment = draw(st.sampled_from(moments) | MOMENTS if moments else MOMENTS)
    offset = draw(st.sampled_from(sorted(OFFSETS)))
    utc = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
    text = spelled(utc + timedelta(hours=OFFSETS[offset]), draw(st.integers(0, 6)))
    return f"{text}{offset}".replace(" ", "T")


@st.composite
def requests_about(draw: st.DrawFn, rows: Sequence[Fact]) -> Request:
    zone = draw(st.sampled_from(ZONES))

    def seen(field: str) -> list[Any]:
        return [value for fact in rows if (value := getattr(fact, field)) is not None]

    def or_seen(values: st.SearchStrategy[Any], field: str) -> st.SearchStrategy[Any]:
        return values | st.sampled_from(seen(field)) if seen(field) else values

    cents = or_seen(CENTS, "total")
    times = instants(seen("created_at"), zone)
    values: dict[str, st.SearchStrategy[Any]] = {
        "id": or_seen(IDS, "id"),
        "status": or_seen(TEXTS, "status"),
        "total": cents.map(str) | cents.map(float) | st.sampled_from([0, 2, 1e70, "-0"]),
        "ok": st.booleans(),
        "created_at": times,
    }
    fields = st.lists(st.sampled_from(sorted(values)), max_size=2, unique=True)
    date_from, date_to = (draw(st.none() | st.none() | times) for _ in range(2))
    return Request(
        filters={field: draw(stated(field, values[field])) for field in draw(fields)},
        date_from=date_from,
        date_to=date_to,
        zone=zone,
    )


def stated(field: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = sorted(set(COMPARISONS) - {"eq"} - ({"like"} if field != "status" else set()))
    return st.one_of(
        st.none(),
        values,
        st.lists(st.none() | values, min_size=1, max_size=4),
        st.dictionaries(st.sampled_from(named), values, min_size=1, max_size=2),
        st.dictionaries(st.sampled_from(named), values, min_size=1, max_size=1),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Fact], list[Request]]:
    rows = draw(st.lists(FACTS, max_size=25, unique_by=lambda fact: fact.id))
    return rows, [draw(requests_about(rows)) for _ in range(8)]


@pytest.fixture
def facts(source: Source) -> Source:
    """The table, empty."""
    collation = ' COLLATE "C"' if source.dialect == "postgresql" else ""
    source.make(
        f"id bigint PRIMARY KEY, status text{collation}, total numeric(10, 2), ok boolean, "
        "created_at timestamp"
    )
    return source


@pytest.fixture
def datasets(facts: Source) -> dict[str, Dataset]:
    """The table, its times meant in each of the zones."""
    return {zone: facts.dataset(date_column="created_at", time_zone=zone) for zone in ZONES}


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases())
def test_a_selection_is_exactly_what_the_contract_selects_in_key_order(
    facts: Source, datasets: dict[str, Dataset], case: tuple[list[Fact], list[Request]]
) -> None:
    rows, requests = case
    facts.run(f"DELETE FROM {TABLE}")
    facts.add([fact.stored(facts.dialect) for fact in rows])
    for request in requests:
        selected = facts.keys(
            dict(request.filters),
            request.date_from,
            request.date_to,
            dataset=datasets[request.zone],
        )
        assert selected == sorted(fact.id for fact in rows if request.selects(fact)), request


# --- One claim each ---

NOON = datetime.fromisoformat("2024-05-17 12:00:00")
TIMES = [
    NOON - timedelta(microseconds=1),
    NOON,
    NOON + timedelta(microseconds=1),
    NOON + timedelta(milliseconds=100),
    NOON + timedelta(microseconds=999_999),
    NOON + ONE_SECOND,
]


def at(moment: datetime) -> Fact:
    return Fact(0, None, None, None, moment, 0)


def utc(moment: datetime, digits: int = 0) -> str:
    return f"{spelled(moment, digits)}Z".replace(" ", "T")


@pytest.fixture
def times(facts: Source) -> Source:
    """Each of `TIMES` in each of its spellings, and rows without a time; ids in turn."""
    spellings = [(moment, digits) for moment in TIMES for digits in range(7)]
    rows = [Fact(i, None, None, None, *spelling) for i, spelling in enumerate(spellings)]
    facts.add([fact.stored(facts.dialect) for fact in [*rows, Fact(99, "", None, None, None, 0)]])
    return facts


def keys_where(wanted: Callable[[datetime], bool]) -> list[int]:
    return [
        7 * i + digits for i, moment in enumerate(TIMES) if wanted(moment) for digits in range(7)
    ]


def compares(name: str, moment: datetime) -> Callable[[datetime], bool]:
    """Whether a stored time compares so with ``moment``."""
    return lambda stored: bool(COMPARISONS[name](stored, moment))


@pytest.mark.parametrize("name", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_a_time_compares_the_same_however_it_is_spelled(times: Source, name: str) -> None:
    dataset = times.dataset()
    for moment, digits in itertools.product(TIMES, [0, 6]):
        value = utc(moment, digits)
        expected = keys_where(compares(name, moment))
        wanted = value if name == "eq" else {name: value}
        assert times.keys({"created_at": wanted}, dataset=dataset) == expected
        if name == "eq":
            assert times.keys({"created_at": [value]}, dataset=dataset) == expected
            with_null = times.keys({"created_at": [None, value]}, dataset=dataset)
            assert with_null == [*expected, 99]


def test_a_bound_without_a_fraction_includes_its_whole_second(times: Source) -> None:
    selected = times.keys(None, utc(NOON), utc(NOON), date_column="created_at")
    assert selected == keys_where(lambda stored: NOON <= stored < NOON + ONE_SECOND)


@pytest.mark.parametrize("digits", [1, 3, 6])
def test_a_bound_with_a_fraction_is_that_instant(times: Source, digits: int) -> None:
    bound = utc(NOON, digits)
    selected = times.keys(None, bound, bound, date_column="created_at")
    assert selected == keys_where(lambda stored: stored == NOON)


def test_a_row_without_a_date_is_in_no_window(times: Source) -> None:
    everything = keys_where(lambda _: True)
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
    assert times.keys(date_column="created_at") == [*everything, 99]
    assert times.keys(None, first, None, date_column="created_at") == everything
    assert times.keys(None, None, last, date_column="created_at") == everything


@pytest.mark.parametrize(
    ("date_from", "date_to", "selected"),
    [
        ("2024-05-17T14:00:00+02:00", "2024-05-17T14:00:00.0+02:00", True),
        ("2024-05-17T05:00:00-07:00", "2024-05-17T05:00:00-07:00", True),
        ("2024-05-17T12:00:01+00:00", None, False),
        (None, "2024-05-17T12:00:00+00:01", False),
    ],
)
def test_a_bound_may_have_an_offset(
    facts: Source, date_from: str | None, date_to: str | None, selected: bool
) -> None:
    facts.add([at(NOON).stored(facts.dialect)])
    keys = facts.keys(None, date_from, date_to, date_column="created_at")
    assert keys == ([0] if selected else [])


@pytest.mark.parametrize(
    ("month", "zone", "hour_in_utc"),
    [(1, "Europe/Berlin", 11), (7, "Europe/Berlin", 10), (7, "America/New_York", 16)],
)
def test_a_time_without_a_zone_is_meant_in_the_declared_one(
    facts: Source, month: int, zone: str, hour_in_utc: int
) -> None:
    noon = NOON.replace(month=month)
    facts.add([at(noon).stored(facts.dialect)])
    instant = utc(noon.replace(hour=hour_in_utc))
    one_second_later = utc(noon.replace(hour=hour_in_utc, second=1))
    declared = {"date_column": "created_at", "time_zone": zone}
    assert facts.keys(None, instant, instant, **declared) == [0]
    assert facts.keys(None, one_second_later, None, **declared) == []
    assert facts.keys({"created_at": instant}, **declared) == [0]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_first_and_the_last_second_of_time_are_bounds(facts: Source, zone: str) -> None:
    moments = [NOON.replace(year=1, month=1), NOON.replace(year=9999, month=12)]
    rows = [Fact(i, None, None, None, moment, 0) for i, moment in enumerate(moments)]
    facts.add([row.stored(facts.dialect) for row in rows])
    declared = {"date_column": "created_at", "time_zone": zone}
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
    assert facts.keys(None, first, last, **declared) == [0, 1]
    assert facts.keys(None, last, None, **declared) == []
    assert facts.keys(None, None, first, **declared) == []
    assert facts.keys({"created_at": {"gte": first, "lte": last}}, **declared) == [0, 1]


def test_the_very_last_microsecond_is_in_the_last_second(facts: Source) -> None:
    facts.add([at(datetime.fromisoformat("9999-12-31 23:59:59.999999")).stored(facts.dialect)])
    last = "9999-12-31T23:59:59Z"
    assert facts.keys(None, last, last, date_column="created_at") == [0]


def test_an_instant_column_needs_no_zone(postgresql_source: Source) -> None:
    postgresql_source.make(
        "id int PRIMARY KEY, seen_at timestamptz",
        [(1, NOON.replace(tzinfo=UTC)), (2, NOON.replace(tzinfo=ZoneInfo("Europe/Berlin")))],
    )
    declared = {"date_column": "seen_at", "time_zone": "America/New_York"}
    assert postgresql_source.keys(None, utc(NOON), utc(NOON), **declared) == [1]
    assert postgresql_source.keys({"seen_at": "2024-05-17T10:00:00Z"}, **declared) == [2]


@pytest.fixture
def days(source: Source) -> Source:
    source.make(
        "id int PRIMARY KEY, day date",
        [(day, f"2024-05-{day}") for day in (16, 17, 18)] + [(99, None)],
    )
    return source


@pytest.mark.parametrize(
    ("date_from", "date_to", "zone", "selected"),
    [
        ("2024-05-17T00:00:00Z", "2024-05-17T00:00:00Z", "UTC", [17]),
        ("2024-05-17T00:00:00Z", "2024-05-17T23:59:59Z", "UTC", [17]),
        ("2024-05-17T00:00:01Z", None, "UTC", [18]),
        (None, "2024-05-16T23:59:59.999999Z", "UTC", [16]),
        ("2024-05-16T22:00:00Z", "2024-05-17T21:59:59Z", "Europe/Berlin", [17]),
        ("2024-05-16T22:00:00.000001Z", None, "Europe/Berlin", [18]),
        (None, "2024-05-16T21:59:59Z", "Europe/Berlin", [16]),
        (None, "9999-12-31T23:59:59Z", "Europe/Berlin", [16, 17, 18]),
    ],
)
def test_a_date_stands_for_its_midnight_in_the_declared_zone(
    days: Source, date_from: str | None, date_to: str | None, zone: str, selected: list[int]
) -> None:
    assert days.keys(None, date_from, date_to, date_column="day", time_zone=zone) == selected


@pytest.mark.parametrize(
    ("stated", "selected"),
    [
        ("2024-05-17", [17]),
        (None, [99]),
        (["2024-05-16", None], [16, 99]),
        ({"gt": "2024-05-17"}, [18]),
        ({"gte": "2024-05-17"}, [17, 18]),
        ({"lt": "2024-05-17"}, [16]),
        ({"lte": "2024-05-17"}, [16, 17]),
        ({"ne": "2024-05-17"}, [16, 18]),
    ],
)
def test_a_date_is_filtered_as_a_date(days: Source, stated: Any, selected: list[int]) -> None:
    assert days.keys({"day": stated}) == selected


NASTY = ["'; DROP TABLE facts; --", "%", "_", "\\", "'", '"', "%s", ":v0", "?", "a\\", "\\%", "*"]


@pytest.fixture
def nasty(facts: Source) -> Source:
    facts.add([(i, text, None, None, None) for i, text in enumerate([*NASTY, "plain"])])
    return facts


@pytest.mark.parametrize("index", range(len(NASTY)))
def test_a_value_never_becomes_part_of_the_statement(nasty: Source, index: int) -> None:
    value = NASTY[index]
    everything = list(range(len(NASTY) + 1))
    assert nasty.keys({"status": value}) == [index]
    assert nasty.keys({"status": ["none", value]}) == [index]
    assert nasty.keys({"status": {"ne": value}}) == [i for i in everything if i != index]
    assert nasty.keys() == everything


@pytest.mark.parametrize("value", NASTY)
def test_a_pattern_never_becomes_part_of_the_statement(nasty: Source, value: str) -> None:
    assert nasty.keys({"status": {"like": value}}) == [
        i for i, text in enumerate([*NASTY, "plain"]) if is_like(text, value)
    ]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("Anna%", [1]),
        ("anna%", [2]),
        ("%\\%", [3]),
        ("a\\_b", [4]),
        ("a_b", [4, 5]),
        ("_é", [6]),
        ("%\\\\", [7]),
        ("%\\", [7]),
        ("\\a\\n\\n\\a", [2]),
        ("[*", [8]),
    ],
)
def test_like_tells_cases_apart_and_a_backslash_escapes(
    facts: Source, pattern: str, selected: list[int]
) -> None:
    texts = ["Anna", "anna", "50%", "a_b", "axb", "😀é", "c:\\", "[*"]
    facts.add([(i, text, None, None, None) for i, text in enumerate(texts, 1)])
    assert facts.keys({"status": {"like": pattern}}) == selected


@pytest.mark.parametrize("stated", [{"ne": "a"}, {"like": "%"}, {"gte": ""}, ["b", ""], "b"])
def test_null_meets_nothing_but_is_null(facts: Source, stated: Any) -> None:
    facts.add([(1, None, None, None, None), (2, "b", None, None, None)])
    assert facts.keys({"status": stated}) == [2]
    assert facts.keys({"status": None}) == [1]


@pytest.mark.parametrize("field", ["id", "status", "total", "created_at"])
def test_a_list_of_a_thousand_values_is_carried_out(facts: Source, field: str) -> None:
    moments = [NOON + i * ONE_SECOND for i in range(1_000)]
    rows = [Fact(i, str(i), Decimal(i) / 4, None, moment, 1) for i, moment in enumerate(moments)]
    facts.add([row.stored(facts.dialect) for row in rows])
    stated: dict[str, list[Any]] = {
        "id": list(range(1_000)),
        "status": [str(i) for i in range(1_000)],
        "total": [i / 4 for i in range(1_000)],
        "created_at": [utc(moment) for moment in moments],
    }
    assert facts.keys({field: stated[field]}) == list(range(1_000))


@pytest.mark.parametrize("value", [1e70, -1e70, 2**63, "0." + "0" * 40 + "1", "1" * 76])
def test_a_decimal_far_from_the_columns_digits_is_compared(facts: Source, value: Any) -> None:
    facts.add([(1, None, Decimal("1.25") if facts.dialect == "postgresql" else 1.25, None, None)])
    assert facts.keys({"total": value}) == []
    assert facts.keys({"total": {"gt": value}}) == ([1] if Decimal(str(value)) < 1 else [])
    assert facts.keys({"total": {"lt": value}}) == ([1] if Decimal(str(value)) > 1 else [])


def test_a_float_of_32_bits_equals_the_number_it_was_made_of(postgresql_source: Source) -> None:
    postgresql_source.make("id int PRIMARY KEY, ratio real", [(1, 0.1), (2, 0.2)])
    assert postgresql_source.keys({"ratio": 0.1}) == [1]
    assert postgresql_source.keys({"ratio": {"lte": 0.1}}) == [1]
    assert postgresql_source.keys({"ratio": {"gt": 0.1}}) == [2]


def test_an_enum_is_filtered_as_a_text(postgresql_source: Source) -> None:
    postgresql_source.run("DROP TYPE IF EXISTS mood CASCADE")
    postgresql_source.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    postgresql_source.make("id int PRIMARY KEY, feels mood")
    postgresql_source.run(f"INSERT INTO {TABLE} VALUES (1, 'sad'), (2, 'glad')")
    assert postgresql_source.keys({"feels": "sad"}) == [1]
    assert postgresql_source.keys({"feels": ["no label", "glad"]}) == [2]
    assert postgresql_source.keys({"feels": {"like": "%la%"}}) == [2]
    assert postgresql_source.keys({"feels": {"gt": "glad"}}) == [1]


def test_rows_come_in_the_order_of_a_key_of_two_columns(source: Source) -> None:
    source.make(
        "id int, country text, total int",
        [(2, "a", 1), (1, "b", 2), (1, "a", 3), (2, "b", 4)],
    )
    selection = source.selection(columns=["total"], key=["country", "id"])
    with source.engine.connect() as connection:
        rows = connection.execute(selection.rows_query()).all()
    assert [row.total for row in rows] == [3, 1, 2, 4]


def test_a_key_that_is_not_exported_is_read_after_the_exported_columns(source: Source) -> None:
    source.make("id int, note text, total int")
    assert source.selection(columns=["total", "note"]).read_names == ["total", "note", "id"]
    assert source.selection(columns=["total", "id"]).read_names == ["total", "id"]


def test_names_that_are_words_of_sql_are_quoted(source: Source) -> None:
    source.make('"order" int, "Select" text, "a b" date', [(1, "x", None), (2, "y", "2024-05-17")])
    filters = {"Select": {"like": "y"}, "a b": {"ne": "2024-01-01"}, "order": [2, 1]}
    assert source.keys(filters, key="order", date_column="a b") == [2]
    bound = "2024-05-17T00:00:00Z"
    assert source.keys(None, bound, bound, key="order", date_column="a b") == [2]


def test_texts_that_a_collation_takes_for_the_same_are_told_apart_in_sqlite(
    sqlite_source: Source,
) -> None:
    rows = [(1, "abc", "abc"), (2, "ABC", "abc "), (3, "abd", "abd")]
    sqlite_source.make("id int, n text COLLATE NOCASE, r text COLLATE RTRIM", rows)
    for field in ("n", "r"):
        assert sqlite_source.keys({field: "abc"}) == [1]
        assert sqlite_source.keys({field: ["abc", "abd"]}) == [1, 3]
        assert sqlite_source.keys({field: {"ne": "abc"}}) == [2, 3]
        assert sqlite_source.keys({field: {"like": "abc"}}) == [1]


def test_texts_that_a_collation_takes_for_the_same_are_told_apart_in_postgresql(
    postgresql_source: Source,
) -> None:
    postgresql_source.run(
        "CREATE COLLATION caseless "
        "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    try:
        rows = [(1, "abc"), (2, "ABC"), (3, "abd")]
        postgresql_source.make("id int PRIMARY KEY, n text COLLATE caseless", rows)
        assert postgresql_source.keys({"n": "abc"}) == [1]
        assert postgresql_source.keys({"n": ["abc", "abd"]}) == [1, 3]
        assert postgresql_source.keys({"n": {"like": "ab_"}}) == [1, 3]
        assert postgresql_source.keys({"n": {"ne": "abc"}}) == [2, 3]
    finally:
        postgresql_source.run(f"DROP TABLE {TABLE}")
        postgresql_source.run("DROP COLLATION caseless")


MANY_DIGITS = [
    "-12345678901234567890.12",
    "0",
    "0.01",
    "12345678901234567890.12",
    "12345678901234567890.13",
    "999999999999999999999999999999999999.99",
]


@pytest.mark.parametrize("name", ["eq", "ne", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("value", [*MANY_DIGITS, "12345678901234567890.125", "1e70", "-1e70"])
def test_decimals_that_are_kept_as_texts_compare_with_all_their_digits(
    sqlite_source: Source, name: str, value: str
) -> None:
    sqlite_source.make("id int PRIMARY KEY, a text", list(enumerate(MANY_DIGITS)))
    wanted = {"a": value if name == "eq" else {name: value}}
    expected = [
        index
        for index, stored in enumerate(MANY_DIGITS)
        if COMPARISONS[name](Decimal(stored), Decimal(value))
    ]
    declared = {"a": {"as": "decimal(38, 2)"}}
    assert sqlite_source.keys(wanted, columns_=declared) == expected


@pytest.mark.parametrize("stored", [0.1 + 0.2, 1e16, 5, "0.1"])
def test_a_number_that_is_read_as_text_is_found_by_what_is_exported(
    sqlite_source: Source, stored: Any
) -> None:
    sqlite_source.make("id int PRIMARY KEY, a", [(1, stored), (2, "x")])
    declared = {"a": {"as": "text"}}
    assert sqlite_source.keys({"a": str(stored)}, columns_=declared) == [1]
    assert sqlite_source.keys({"a": {"like": str(stored)[:2] + "%"}}, columns_=declared) == [1]
