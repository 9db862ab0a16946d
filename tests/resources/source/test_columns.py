"""What a declared type becomes: the kinds of each database."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql, postgresql

from resources.source.columns import Column, Kind, Storage, UnsupportedColumn
from resources.source.declarations import ColumnDeclaration
from resources.source.dialects import DIALECTS


def named(value: Any) -> str:
    return value.kind if isinstance(value, Column) else str(value)


def of(kind: Kind, **attributes: Any) -> Column:
    return replace(Column("c", kind), **attributes)


CAST = {"storage": Storage.CAST}
POSTGRESQL = [
    (sql.Boolean(), of(Kind.BOOLEAN)),
    (sql.SmallInteger(), of(Kind.INTEGER, bits=16)),
    (sql.Integer(), of(Kind.INTEGER, bits=32)),
    (sql.BigInteger(), of(Kind.INTEGER, bits=64)),
    (sql.REAL(), of(Kind.FLOAT, bits=32)),
    (sql.Float(), of(Kind.FLOAT)),
    (postgresql.DOUBLE_PRECISION(), of(Kind.FLOAT)),
    (sql.Numeric(10, 2), of(Kind.DECIMAL, precision=10, scale=2)),
    (sql.Numeric(38), of(Kind.DECIMAL, precision=38)),
    (sql.Numeric(2, 3), of(Kind.DECIMAL, precision=3, scale=3)),
    (sql.Numeric(10, -2), of(Kind.DECIMAL, precision=12)),
    (postgresql.TIMESTAMP(), of(Kind.TIMESTAMP)),
    (postgresql.TIMESTAMP(timezone=True), of(Kind.INSTANT)),
    (sql.Date(), of(Kind.DATE)),
    (postgresql.TIME(), of(Kind.TIME)),
    (postgresql.TIME(timezone=True), of(Kind.OPAQUE, **CAST)),
    (postgresql.INTERVAL(), of(Kind.OPAQUE, **CAST)),
    (sql.VARCHAR(20), of(Kind.TEXT)),
    (sql.Text(), of(Kind.TEXT)),
    (postgresql.CITEXT(), of(Kind.TEXT)),
    (postgresql.ENUM("a", "b", name="letters"), of(Kind.TEXT)),
    (postgresql.UUID(), of(Kind.UUID)),
    (postgresql.BYTEA(), of(Kind.BINARY)),
    (postgresql.JSON(), of(Kind.JSON, **CAST)),
    (postgresql.JSONB(), of(Kind.JSON, **CAST)),
    (postgresql.DOMAIN("size", sql.Integer()), of(Kind.INTEGER, bits=32)),
    (
        postgresql.ARRAY(sql.Integer()),
        of(Kind.ARRAY, element=Column("element", Kind.INTEGER, bits=32)),
    ),
    (
        postgresql.ARRAY(postgresql.ENUM("a", name="letters")),
        of(Kind.ARRAY, element=Column("element", Kind.TEXT, storage=Storage.CAST)),
    ),
    (
        postgresql.ARRAY(sql.Numeric()),
        of(Kind.ARRAY, element=Column("element", Kind.TEXT, storage=Storage.CAST)),
    ),
    *(
        (each, of(Kind.OPAQUE, **CAST))
        for each in (
            postgresql.TSTZRANGE(),
            postgresql.INT4MULTIRANGE(),
            postgresql.TSVECTOR(),
            postgresql.INET(),
            postgresql.MACADDR(),
            postgresql.BIT(3),
            postgresql.MONEY(),
            postgresql.HSTORE(),
        )
    ),
]
MYSQL = [
    (mysql.TINYINT(1), of(Kind.INTEGER, bits=8)),
    (mysql.TINYINT(unsigned=True), of(Kind.INTEGER, bits=8, signed=False)),
    (mysql.MEDIUMINT(), of(Kind.INTEGER, bits=32)),
    (mysql.INTEGER(unsigned=True), of(Kind.INTEGER, bits=32, signed=False)),
    (mysql.BIGINT(unsigned=True), of(Kind.INTEGER, bits=64, signed=False)),
    (mysql.YEAR(), of(Kind.INTEGER, bits=16)),
    (mysql.FLOAT(), of(Kind.FLOAT, bits=32)),
    (mysql.DOUBLE(), of(Kind.FLOAT)),
    (mysql.DECIMAL(10, 2), of(Kind.DECIMAL, precision=10, scale=2)),
    (mysql.DATETIME(fsp=6), of(Kind.TIMESTAMP)),
    (mysql.TIMESTAMP(), of(Kind.INSTANT)),
    (mysql.TIME(), of(Kind.TIME)),
    (mysql.ENUM("a"), of(Kind.TEXT)),
    (mysql.SET("a"), of(Kind.TEXT)),
    (mysql.LONGTEXT(), of(Kind.TEXT)),
    (mysql.JSON(), of(Kind.JSON)),
    (mysql.BIT(8), of(Kind.BINARY)),
    (sql.BINARY(16), of(Kind.BINARY)),
    (mysql.LONGBLOB(), of(Kind.BINARY)),
]
SQLITE = [
    ("integer", of(Kind.INTEGER)),
    ("SMALLINT", of(Kind.INTEGER)),
    ("unsigned big int", of(Kind.INTEGER)),
    ("tinyint(1)", of(Kind.INTEGER)),
    ("real", of(Kind.FLOAT)),
    ("double  precision", of(Kind.FLOAT)),
    ("decimal(10,2)", of(Kind.DECIMAL, precision=10, scale=2)),
    ("NUMERIC (12)", of(Kind.DECIMAL, precision=12)),
    ("varchar(20)", of(Kind.TEXT)),
    ("character varying(20)", of(Kind.TEXT)),
    ("uuid", of(Kind.TEXT)),
    ("bool", of(Kind.BOOLEAN)),
    ("datetime", of(Kind.TIMESTAMP)),
    ("timestamp", of(Kind.TIMESTAMP)),
    ("timestamptz", of(Kind.INSTANT, storage=Storage.ISO)),
    ("date", of(Kind.DATE)),
    ("time", of(Kind.TIME)),
    ("json", of(Kind.JSON)),
    ("blob", of(Kind.BINARY)),
]
KNOWN = [
    *(("postgresql", declared, expected) for declared, expected in POSTGRESQL),
    *(("mysql", declared, expected) for declared, expected in MYSQL),
    *(("sqlite", declared, expected) for declared, expected in SQLITE),
]


@pytest.mark.parametrize(("dialect", "declared", "expected"), KNOWN, ids=named)
def test_a_type_becomes_a_kind_of_its_size(dialect: str, declared: Any, expected: Column) -> None:
    assert DIALECTS[dialect].column("c", declared) == expected


UNKNOWN = [
    ("postgresql", sql.Numeric()),
    ("postgresql", sql.Numeric(39, 2)),
    ("postgresql", sql.NullType()),
    ("postgresql", postgresql.DOMAIN("shape", sql.NullType())),
    ("mysql", mysql.DECIMAL(65, 30)),
    ("mysql", sql.NullType()),
    ("sqlite", ""),
    ("sqlite", "numeric"),
    ("sqlite", "point"),
    ("sqlite", "interval"),
    ("sqlite", "string"),
    ("sqlite", "any type ( at all"),
]


@pytest.mark.parametrize(("dialect", "declared"), UNKNOWN, ids=named)
def test_a_type_without_counterpart_is_refused_by_the_columns_name(
    dialect: str, declared: Any
) -> None:
    with pytest.raises(UnsupportedColumn, match='column "secret_shape"'):
        DIALECTS[dialect].column("secret_shape", declared)


READ_AS = [
    ("postgresql", sql.Numeric(), "text", of(Kind.TEXT, **CAST)),
    ("postgresql", sql.NullType(), "text", of(Kind.TEXT, **CAST)),
    ("postgresql", sql.Numeric(), "decimal(20, 4)", of(Kind.DECIMAL, precision=20, scale=4)),
    ("postgresql", sql.Integer(), "boolean", of(Kind.BOOLEAN, **CAST)),
    ("postgresql", sql.Date(), "date", of(Kind.DATE)),
    ("mysql", mysql.TINYINT(1), "boolean", of(Kind.BOOLEAN, **CAST)),
    ("mysql", mysql.DECIMAL(65, 30), "text", of(Kind.TEXT, **CAST)),
    ("sqlite", "", "timestamp", of(Kind.TIMESTAMP, **CAST)),
    ("sqlite", "text", "decimal(38,8)", of(Kind.DECIMAL, precision=38, scale=8, **CAST)),
    ("sqlite", "text", "text", of(Kind.TEXT)),
]


@pytest.mark.parametrize(("dialect", "declared", "wanted", "expected"), READ_AS, ids=named)
def test_a_column_is_read_as_what_is_asked_for(
    dialect: str, declared: Any, wanted: str, expected: Column
) -> None:
    read_as = ColumnDeclaration.model_validate({"as": wanted}).read_as
    assert read_as is not None
    assert DIALECTS[dialect].read_as("c", declared, read_as) == expected


@pytest.mark.parametrize("wanted", ["integer", "boolean", "decimal(10, 2)", "timestamp"])
def test_a_column_is_not_read_as_what_it_cannot_be(wanted: str) -> None:
    read_as = ColumnDeclaration.model_validate({"as": wanted}).read_as
    assert read_as is not None
    with pytest.raises(UnsupportedColumn, match='"text" is always possible'):
        DIALECTS["postgresql"].read_as("c", sql.Text(), read_as)


def test_numbers_may_be_instants_and_nothing_else_in_a_database_that_has_instants() -> None:
    dialect = DIALECTS["postgresql"]
    unix = dialect.stored_as("c", sql.BigInteger(), Storage.UNIX_MS)
    assert unix == of(Kind.INSTANT, storage=Storage.UNIX_MS)
    for declared, storage in ((sql.Text(), Storage.UNIX), (sql.Text(), Storage.ISO)):
        with pytest.raises(UnsupportedColumn, match="cannot be stored"):
            dialect.stored_as("c", declared, storage)
