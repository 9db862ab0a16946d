"""What a declared SQL type becomes."""

from typing import Any

import pytest
from sqlalchemy import types as sql
from sqlalchemy.dialects import postgresql

from resources.source.columns import Column, Kind, UnsupportedColumn, column_from_type


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (sql.Boolean(), Column("c", Kind.BOOLEAN)),
        (sql.SmallInteger(), Column("c", Kind.INTEGER, bits=16)),
        (sql.Integer(), Column("c", Kind.INTEGER, bits=32)),
        (sql.BigInteger(), Column("c", Kind.INTEGER, bits=64)),
        (sql.REAL(), Column("c", Kind.FLOAT, bits=32)),
        (sql.Float(), Column("c", Kind.FLOAT)),
        (sql.DOUBLE_PRECISION(), Column("c", Kind.FLOAT)),
        (sql.Numeric(10, 2), Column("c", Kind.DECIMAL, precision=10, scale=2)),
        (sql.Numeric(38), Column("c", Kind.DECIMAL, precision=38)),
        (sql.DateTime(), Column("c", Kind.TIMESTAMP)),
        (sql.TIMESTAMP(timezone=True), Column("c", Kind.INSTANT)),
        (sql.Date(), Column("c", Kind.DATE)),
        (sql.VARCHAR(20), Column("c", Kind.TEXT)),
        (sql.Text(), Column("c", Kind.TEXT)),
        (postgresql.ENUM("a", "b", name="letters"), Column("c", Kind.TEXT)),
    ],
    ids=repr,
)
def test_a_type_becomes_a_kind_of_its_size(declared: sql.TypeEngine[Any], expected: Column) -> None:
    assert column_from_type("c", declared, "postgresql") == expected


@pytest.mark.parametrize(
    "declared", [sql.SmallInteger(), sql.Integer(), sql.BigInteger(), sql.REAL(), sql.Float()]
)
def test_sqlite_numbers_have_64_bits_whatever_is_declared(declared: sql.TypeEngine[Any]) -> None:
    assert column_from_type("c", declared, "sqlite").bits == 64


@pytest.mark.parametrize(
    "declared",
    [
        sql.Numeric(),
        sql.Numeric(39, 2),
        sql.Numeric(2, 3),
        sql.Numeric(10, -2),
        sql.LargeBinary(),
        sql.JSON(),
        sql.Uuid(),
        sql.Time(),
        sql.Interval(),
        sql.ARRAY(sql.Integer()),
        sql.NullType(),
    ],
    ids=repr,
)
def test_a_type_without_counterpart_is_refused_by_the_columns_name(
    declared: sql.TypeEngine[Any],
) -> None:
    with pytest.raises(UnsupportedColumn, match='column "secret_shape"'):
        column_from_type("secret_shape", declared, "postgresql")
