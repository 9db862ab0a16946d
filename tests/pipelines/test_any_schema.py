"""Whatever schema is declared, what comes out of its export equals what is in the database."""

import hashlib
import hmac
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
from sqlalchemy import URL, Engine

from resources.errors import InvalidRequest, TaskFailed
from resources.source.declarations import load_declarations
from resources.store.database import connect
from resources.store.migrate import migrate
from tests.conftest import temporary_database, temporary_mysql_database
from tests.support.zoo import Specimen, mysql, postgresql, sqlite
from tests.support.zoo.exporting import MASK_KEY, Exporter
from tests.support.zoo.guide import declarations
from tests.support.zoo.reading import (
    Rows,
    comparable,
    from_csv,
    in_csv,
    in_parquet,
    read_csv,
    read_parquet,
)


@dataclass(frozen=True)
class Zoo:
    """One database, as its own driver sees it."""

    url: URL
    open: Callable[[], Any]
    other: str = ""

    def run(self, *statements: str) -> None:
        with closing(self.open()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def rows(self, query: str) -> Rows:
        with closing(self.open()) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("state") / "runs.db"
    engine = connect(URL.create("sqlite", database=str(path)))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgresql_zoo(postgres_server: URL) -> Iterator[Zoo]:
    with temporary_database(postgres_server) as url:
        options = "-c timezone=UTC -c intervalstyle=iso_8601"
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        yield Zoo(url, lambda: psycopg2.connect(dsn, options=options))


@pytest.fixture(scope="module")
def mysql_zoo(mysql_server: URL) -> Iterator[Zoo]:
    with (
        temporary_mysql_database(mysql_server) as url,
        temporary_mysql_database(mysql_server) as other,
    ):
        arguments = url.translate_connect_args(username="user")
        yield Zoo(
            url,
            lambda: pymysql.connect(
                **arguments, charset="utf8mb4", init_command="SET time_zone = '+00:00'"
            ),
            str(other.database),
        )


@pytest.fixture(scope="module")
def sqlite_zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    path = tmp_path_factory.mktemp("zoo") / "50% of ?#it.sqlite"
    return Zoo(URL.create("sqlite", database=str(path)), lambda: sqlite3.connect(path))


ZOOS = {"postgresql": postgresql, "sqlite": sqlite, "mysql": mysql}
KEPT = [(name, each) for name, zoo in ZOOS.items() for each in zoo.SPECIMENS]


def named(zoo: Zoo, text: str) -> str:
    return text.replace("{other}", zoo.other).replace("{{", "{").replace("}}", "}")


@pytest.fixture
def zoo(request: pytest.FixtureRequest) -> Zoo:
    made = request.getfixturevalue(f"{request.param}_zoo")
    assert isinstance(made, Zoo)
    return made


@pytest.fixture
def exporter(zoo: Zoo, state: Engine, tmp_path: Path) -> Exporter:
    return Exporter(state, tmp_path, zoo.url, "")


def house(zoo: Zoo, specimen: Specimen, exporter: Exporter) -> Exporter:
    """The specimen in its database, and what exports it: by its declaration alone."""
    zoo.run(*(named(zoo, statement) for statement in specimen.make))
    return replace(exporter, datasets="[users]\n" + named(zoo, specimen.declared))


@pytest.mark.parametrize(("zoo", "specimen"), KEPT, ids=str, indirect=["zoo"])
def test_what_comes_out_equals_what_is_in(zoo: Zoo, specimen: Specimen, exporter: Exporter) -> None:
    exporter = house(zoo, specimen, exporter)
    assert exporter.findings() == []
    parquet = exporter.export("users", {})
    csv = exporter.export("users", {"format": "csv"})

    asked = zoo.rows(named(zoo, specimen.ask))
    columns, rows = read_parquet(parquet)
    types = [type_ for _, type_ in columns]
    assert len(rows) == len(asked) == specimen.rows
    assert each_cell(rows, types, lambda value, _: comparable(value)) == each_cell(
        asked, types, in_parquet
    )
    assert each_cell(read_csv(csv, columns), types, from_csv) == each_cell(asked, types, in_csv)
    names = [name for name, _ in columns]
    for name, values in specimen.written.items():
        told = [comparable(row[names.index(name)]) for row in rows]
        assert (name, told) == (name, [comparable(value) for value in values])


def each_cell(
    rows: Rows, types: Sequence[str], convert: Callable[[Any, str], Any]
) -> list[list[Any]]:
    return [
        [convert(value, type_) for value, type_ in zip(row, types, strict=True)] for row in rows
    ]


ODD = [("postgresql", postgresql), ("sqlite", sqlite), ("mysql", mysql)]


@pytest.mark.parametrize(
    ("zoo", "kept"), ODD, ids=["postgresql", "sqlite", "mysql"], indirect=["zoo"]
)
def test_a_column_of_any_name_can_be_filtered_on(zoo: Zoo, kept: Any, exporter: Exporter) -> None:
    specimen = kept.SPECIMENS[0]
    zoo.run(f"DROP TABLE IF EXISTS {table_of(specimen, zoo)}")
    exporter = house(zoo, replace(specimen, make=specimen.make[-2:]), exporter)
    filters: dict[str, Any] = {}
    for index, (name, (_, second)) in enumerate(specimen.written.items()):
        least = f"a{index}"
        choices: list[Any] = [second, [second, "?"], {"gt": least, "like": "b%", "ne": "%s"}]
        filters[name] = choices[index % len(choices)]
    _, rows = read_parquet(exporter.export("users", {}, filters=filters))
    assert rows == [tuple(values[1] for values in specimen.written.values())]


def table_of(specimen: Specimen, zoo: Zoo) -> str:
    return named(zoo, specimen.ask).removeprefix("SELECT * FROM ").removesuffix(" ORDER BY 1, 4")


@dataclass(frozen=True)
class Misfit:
    """A declaration that does not fit; `told` are parts of its findings, `mended` what to write."""

    name: str
    make: Sequence[str]
    declared: str
    told: Sequence[str]
    mended: str

    def __str__(self) -> str:
        return self.name


UNFIT = "table = 'misfits'\nkey = 'id'\n"
MISFITS = [
    (
        "postgresql",
        Misfit(
            "types without a counterpart",
            [
                'CREATE TABLE misfits (id int UNIQUE, place point, "the ""x""" xml, n numeric)',
                "INSERT INTO misfits VALUES (1, '(1,2)', '<a/>', 1.5)",
            ],
            UNFIT,
            ['write columns."place" = { as = "text" }', r'columns."the \"x\"" =', 'columns."n" ='],
            UNFIT
            + 'columns."place" = { as = "text" }\n'
            + r'columns."the \"x\"" = { as = "text" }'
            + '\nleave_out = ["n"]',
        ),
    ),
    (
        "sqlite",
        Misfit(
            "types without a counterpart",
            [
                "CREATE TABLE misfits (id INTEGER PRIMARY KEY, anything, n NUMERIC)",
                "INSERT INTO misfits VALUES (1, 'x', 2)",
            ],
            UNFIT,
            ['"anything" has no type', 'columns."n" = { as = "text" }'],
            UNFIT + 'columns."anything" = { as = "text" }\ncolumns."n" = { as = "text" }',
        ),
    ),
    (
        "mysql",
        Misfit(
            "types without a counterpart",
            [
                (
                    "CREATE TABLE misfits (id INT PRIMARY KEY, place POINT, n DECIMAL(65, 30), "
                    "`two\nlines` INT)"
                ),
                "INSERT INTO misfits VALUES (1, POINT(1, 2), 1.5, 3)",
            ],
            UNFIT,
            ['columns."place" =', "65 digits", r'columns."two\nlines" = { as = "text" }'],
            UNFIT
            + 'columns."place" = { as = "text" }\ncolumns."n" = { as = "text" }\n'
            + r'columns."two\nlines" = { as = "text" }',
        ),
    ),
    (
        "postgresql",
        Misfit(
            "names that are not there",
            [
                "CREATE TABLE misfits (id int PRIMARY KEY, born date, name text)",
                "INSERT INTO misfits VALUES (1, '2024-01-01', 'x')",
            ],
            'table = "misfits"\nkey = "ID"\ndate_column = "bron"\nleave_out = ["nothing"]\n'
            'columns.names = { mask = "redact" }',
            [
                'no column "ID"; did you mean "id"?',
                'no column "bron"; did you mean "born"?',
                'no column "nothing"',
                'no column "names"; did you mean "name"?',
            ],
            UNFIT + 'date_column = "born"\ncolumns.name = { mask = "redact" }',
        ),
    ),
    (
        "postgresql",
        Misfit(
            "a table that is elsewhere",
            [
                "CREATE SCHEMA elsewhere",
                "CREATE TABLE elsewhere.misfits_there (id int PRIMARY KEY)",
                "INSERT INTO elsewhere.misfits_there VALUES (1)",
            ],
            'table = "misfits_there"\nkey = "id"',
            ['one elsewhere: add schema = "elsewhere"'],
            'table = "misfits_there"\nkey = "id"\nschema = "elsewhere"',
        ),
    ),
    (
        "mysql",
        Misfit(
            "a table in another database",
            [
                "CREATE TABLE `{other}`.misfits_there (id INT PRIMARY KEY)",
                "INSERT INTO `{other}`.misfits_there VALUES (1)",
            ],
            'table = "misfits_there"\nkey = "id"',
            ['one elsewhere: add schema = "{other}"'],
            'table = "misfits_there"\nkey = "id"\nschema = "{other}"',
        ),
    ),
    (
        "postgresql",
        Misfit(
            "what contradicts itself",
            [
                "CREATE TABLE misfits (id int PRIMARY KEY, born date, raw bytea, tags text[])",
                "INSERT INTO misfits VALUES (1, '2024-01-01', '', '{}')",
            ],
            UNFIT + 'date_column = "born"\ncolumns.born = { mask = "redact" }\n'
            'columns.raw = { mask = "hash" }\ncolumns.tags = { as = "integer" }',
            [
                'date_column "born" is masked',
                '"raw" holds binary values',
                '"tags" holds array values',
            ],
            UNFIT + 'columns.born = { mask = "redact" }\nleave_out = ["raw", "tags"]',
        ),
    ),
    *(
        (
            dialect,
            Misfit(
                "a key that is not unique",
                [
                    "CREATE TABLE misfits (id int, sub int)",
                    "INSERT INTO misfits VALUES (1, 1)",
                    "INSERT INTO misfits VALUES (1, 2)",
                ],
                UNFIT,
                ['key "id" is not unique: add columns until'],
                "table = 'misfits'\nkey = ['id', 'sub']",
            ),
        )
        for dialect in ZOOS
    ),
    *(
        (
            dialect,
            Misfit(
                "a key that is null",
                [
                    "CREATE TABLE misfits (id int UNIQUE, sub int NOT NULL UNIQUE)",
                    "INSERT INTO misfits VALUES (1, 1)",
                    "INSERT INTO misfits VALUES (NULL, 2)",
                ],
                UNFIT,
                ['key "id" is null in some rows'],
                "table = 'misfits'\nkey = 'sub'",
            ),
        )
        for dialect in ZOOS
    ),
    (
        "sqlite",
        Misfit(
            "a primary key that is null",
            [
                (
                    "CREATE TABLE misfits (id INTEGER, sub TEXT, n INT UNIQUE NOT NULL, "
                    "PRIMARY KEY (id, sub))"
                ),
                "INSERT INTO misfits VALUES (NULL, 'x', 1)",
                "INSERT INTO misfits VALUES (NULL, 'x', 2)",
            ],
            "table = 'misfits'\nkey = ['id', 'sub']",
            ['key "id, sub" is null in some rows'],
            "table = 'misfits'\nkey = 'n'",
        ),
    ),
    (
        "postgresql",
        Misfit(
            "a key that heirs do not keep",
            [
                "CREATE TABLE misfits (id int PRIMARY KEY, n int)",
                "CREATE TABLE misfit_heirs () INHERITS (misfits)",
                "INSERT INTO misfits VALUES (1, 1)",
                "INSERT INTO misfit_heirs VALUES (1, 2)",
            ],
            UNFIT,
            ['key "id" is not unique'],
            "table = 'misfits'\nkey = ['id', 'n']",
        ),
    ),
    (
        "postgresql",
        Misfit(
            "a key without an order",
            [
                "CREATE TABLE misfits (id int UNIQUE NOT NULL, place point)",
                "INSERT INTO misfits VALUES (1, '(1,2)')",
            ],
            "table = 'misfits'\nkey = 'place'\ncolumns.place = { as = 'text' }",
            ['key "place" is of a type that rows cannot be ordered by'],
            UNFIT + "columns.place = { as = 'text' }",
        ),
    ),
    (
        "mysql",
        Misfit(
            "a view that is broken",
            [
                "CREATE TABLE misfits (id INT PRIMARY KEY)",
                "INSERT INTO misfits VALUES (1)",
                "CREATE TABLE misfits_gone (id INT)",
                "CREATE VIEW misfits_view AS SELECT * FROM misfits_gone",
                "DROP TABLE misfits_gone",
            ],
            "table = 'misfits_view'\nkey = 'id'",
            ['refuses to read "misfits_view"'],
            UNFIT,
        ),
    ),
]


@pytest.mark.parametrize(("zoo", "misfit"), MISFITS, ids=str, indirect=["zoo"])
def test_what_does_not_fit_is_told_at_once_with_what_to_write(
    zoo: Zoo, misfit: Misfit, exporter: Exporter
) -> None:
    cascade = " CASCADE" if zoo.url.get_backend_name() == "postgresql" else ""
    zoo.run(f"DROP TABLE IF EXISTS misfits{cascade}", *(named(zoo, each) for each in misfit.make))
    findings = replace(exporter, datasets="[users]\n" + named(zoo, misfit.declared)).findings()
    told = [named(zoo, part) for part in misfit.told]
    assert len(findings) == len(told), findings
    assert [part for part in told if not any(part in each for each in findings)] == []
    assert all("\n" not in each for each in findings)

    mended = replace(exporter, datasets="[users]\n" + named(zoo, misfit.mended))
    assert mended.findings() == []
    assert read_parquet(mended.export("users", {}))[1]


VALUES_OF_NO_FILE = [
    ("postgresql", "n numeric(10, 2)", "'NaN'", "n"),
    ("postgresql", "d date", "'infinity'", "d"),
    ("postgresql", "t timestamptz", "'-infinity'", "t"),
    ("postgresql", "t timestamp", "'0044-03-15 00:00 BC'", "t"),
    ("postgresql", "t time", "'24:00'", "t"),
    ("postgresql", "m int[][]", "'{{1,2},{3,4}}'", "m"),
    ("mysql", "d date", "'0000-00-00'", "d"),
    ("mysql", "d datetime", "'2024-00-00'", "d"),
    ("mysql", "t time", "'-12:00:00'", "t"),
    ("mysql", "t time", "'838:59:59'", "t"),
    ("sqlite", "n int", "1.5", "n"),
    ("sqlite", "n text", "x'ff'", "n"),
    ("sqlite", "d decimal(38, 8)", "'12345678901234567890.12345678'", "d"),
    ("sqlite", "b boolean", "'true'", "b"),
    ("sqlite", "t time", "'24:00:00'", "t"),
]


@pytest.mark.parametrize(("zoo", "column", "value", "name"), VALUES_OF_NO_FILE, indirect=["zoo"])
def test_a_value_that_no_file_holds_fails_the_run_by_its_rows_key(
    zoo: Zoo, column: str, value: str, name: str, exporter: Exporter
) -> None:
    lax = ["SET sql_mode = ''"] if zoo.url.get_backend_name() == "mysql" else []
    zoo.run(
        *lax,
        "DROP TABLE IF EXISTS unheld",
        f"CREATE TABLE unheld (id int PRIMARY KEY, {column})",
        "INSERT INTO unheld VALUES (6, NULL)",
        f"INSERT INTO unheld VALUES (7, {value})",
    )
    exporter = replace(exporter, datasets="[users]\ntable = 'unheld'\nkey = 'id'")
    assert exporter.findings() == []
    with pytest.raises(TaskFailed, match=rf'value_not_representable: Column "{name}".*id = 7 '):
        exporter.export("users", {})


SECRETS = ["ann.o'neil@example.com", "bob@example.com", "short"]
CARD = "4929123412341234"
MASKED = """
[users]
table = "people"
key = "id"
columns.email = { mask = "hash" }
columns.card = { mask = "last4" }
columns.born = { mask = "redact" }
columns.code = { mask = "hash" }
leave_out = ["secret"]

[bookings]
table = "visits"
key = "id"
columns.email = { mask = "hash" }
"""


@pytest.fixture
def masked(zoo: Zoo, exporter: Exporter) -> Exporter:
    people = [
        (i, email.replace("'", "''"), CARD[: 7 if i == 1 else 16], 6999 + i)
        for i, email in enumerate(SECRETS, start=1)
    ]
    zoo.run(
        "DROP TABLE IF EXISTS people",
        "DROP TABLE IF EXISTS visits",
        "CREATE TABLE people (id int PRIMARY KEY, email varchar(50), card varchar(20), born date, "
        "code int, secret varchar(20))",
        "CREATE TABLE visits (id int PRIMARY KEY, email varchar(50))",
        *(
            f"INSERT INTO people VALUES ({i}, '{email}', '{card}', '1971-02-03', {code}, 'never')"
            for i, email, card, code in people
        ),
        "INSERT INTO people VALUES (9, NULL, NULL, NULL, NULL, NULL)",
        *(f"INSERT INTO visits VALUES ({-i}, '{email}')" for i, email, *_ in people),
    )
    return replace(exporter, datasets=MASKED)


@pytest.mark.parametrize("zoo", ZOOS, indirect=True)
@pytest.mark.parametrize(
    "options",
    [{"compression": "none"}, {"format": "csv"}],
    ids=["parquet", "csv"],
)
def test_nothing_of_what_is_masked_or_left_out_is_in_a_file(
    masked: Exporter, options: dict[str, str]
) -> None:
    content = masked.export("users", options).read_bytes()
    hidden = [*SECRETS, CARD, CARD[:7], "1971", "7000", "never", "secret"]
    assert [each for each in hidden if each.encode() in content] == []


@pytest.mark.parametrize("zoo", ZOOS, indirect=True)
def test_masks_are_what_they_are_said_to_be(masked: Exporter) -> None:
    columns, rows = read_parquet(masked.export("users", {}))
    _, visits = read_parquet(masked.export("bookings", {}))

    def hashed(value: str) -> str:
        return hmac.new(MASK_KEY, value.encode(), hashlib.sha256).hexdigest()

    assert [type_ for _, type_ in columns[1:]] == ["VARCHAR"] * 4
    assert rows == [
        (1, hashed(SECRETS[0]), "****", "REDACTED", hashed("7000")),
        (2, hashed(SECRETS[1]), "****1234", "REDACTED", hashed("7001")),
        (3, hashed(SECRETS[2]), "****1234", "REDACTED", hashed("7002")),
        (9, None, None, None, None),
    ]
    assert {email for _, email in visits} == {email for _, email, *_ in rows if email}


@pytest.mark.parametrize("zoo", ZOOS, indirect=True)
@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"email": SECRETS[0]}, "masked_filter_field"),
        ({"born": {"gt": "1970-01-01"}}, "masked_filter_field"),
        ({"email": None}, "masked_filter_field"),
        ({"secret": "never"}, "unknown_filter_field"),
    ],
)
def test_what_is_masked_or_left_out_cannot_be_asked_for(
    masked: Exporter, filters: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        masked.export("users", {}, filters=filters)
    assert [error.code for error in raised.value.errors] == [code]


@pytest.mark.parametrize("toml", declarations())
def test_every_declaration_of_the_guide_is_one(toml: str, tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(toml, encoding="utf-8")
    assert load_declarations(path)
