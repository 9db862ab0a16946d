"""A small shop to clean up, on each kind of database, looked at by the drivers themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Engine, create_engine, inspect

from resources.source.declarations import Declaration

TABLES = ("users", "bookings", "payments", "notes")
SECRET = "secret"
BOOKINGS = 60
# By the first of these, a plan tells the key; by the others it may not.
DECLARATIONS = {
    "bookings": Declaration.model_validate(
        {
            "table": "bookings",
            "key": "id",
            "date_column": "created_at",
            "leave_out": ["card"],
            "columns": {"email": {"mask": "hash"}},
        }
    ),
    "payments": Declaration.model_validate({"table": "payments", "key": "id"}),
    "users": Declaration.model_validate(
        {"table": "users", "key": "email", "columns": {"email": {"mask": "redact"}}}
    ),
}
_CREATE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(60) NOT NULL UNIQUE);
CREATE TABLE bookings (id INTEGER PRIMARY KEY, user_id INTEGER, email VARCHAR(60),
    card VARCHAR(60), total NUMERIC(10, 2), created_at {timestamp},
    FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE payments (id INTEGER PRIMARY KEY, booking_id INTEGER, amount NUMERIC(10, 2),
    FOREIGN KEY (booking_id) REFERENCES bookings (id));
CREATE TABLE notes (payment_id INTEGER, line INTEGER, note VARCHAR(60),
    PRIMARY KEY (payment_id, line), FOREIGN KEY (payment_id) REFERENCES payments (id))
"""


@dataclass(frozen=True)
class Shop:
    """Tables in a database."""

    url: URL
    engine: Engine

    def execute(self, *statements: str) -> None:
        """Carry out ``statements`` in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def rows(self, table: str, key: str = "1") -> Sequence[Any]:
        """Every row of a table, as the driver gives it."""
        with self.engine.connect() as connection:
            query = f"SELECT * FROM {table} ORDER BY {key}"
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def dump(self) -> dict[str, Sequence[Any]]:
        """Every row of every table."""
        return {table: self.rows(table, "1, 2") for table in TABLES}

    def fill(self) -> None:
        """Make the tables: three users, sixty bookings; every third is paid, and noted twice."""
        timestamp = "DATETIME(6)" if self.engine.dialect.name == "mysql" else "TIMESTAMP"
        paid = range(0, BOOKINGS, 3)
        rows = {
            "users": [f"({i}, '{SECRET}{i}@example.com')" for i in range(3)],
            "bookings": [
                f"({i}, {i % 3}, '{SECRET}{i}@example.com', '{SECRET}-card-{i}', {i}.25, "
                f"'2024-01-{i % 28 + 1:02d} 10:00:00')"
                for i in range(BOOKINGS)
            ],
            "payments": [f"({i + 1000}, {i}, {i}.25)" for i in paid],
            "notes": [f"({i + 1000}, {line}, '{SECRET}-note')" for i in paid for line in (1, 2)],
        }
        self.execute(
            *_CREATE.format(timestamp=timestamp).split(";"),
            *(f"INSERT INTO {table} VALUES {', '.join(rows[table])}" for table in TABLES),
        )

    def clear(self) -> None:
        """Drop every table."""
        mysql = self.engine.dialect.name == "mysql"
        with self.engine.begin() as connection:
            if mysql:
                connection.exec_driver_sql("SET foreign_key_checks = 0")
            for table in inspect(connection).get_table_names():
                cascade = " CASCADE" if self.engine.dialect.name == "postgresql" else ""
                connection.exec_driver_sql(
                    f"DROP TABLE IF EXISTS {_quoted(table, mysql=mysql)}{cascade}"
                )


def _quoted(name: str, *, mysql: bool) -> str:
    return f"`{name.replace('`', '``')}`" if mysql else f'"{name}"'


def shop_at(url: URL) -> Shop:
    """An empty shop."""
    return Shop(url, create_engine(url))
