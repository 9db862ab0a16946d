"""Schemas that were never made for this service, and what an export of each must hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Specimen:
    """One table of somebody's database.

    Attributes:
        name: For people.
        make: The statements that make it and fill it.
        declared: What is declared of it, in TOML, under the name of a dataset.
        ask: What a driver is asked for the same rows, in the order of the key.
        rows: How many there are.
        written: The values of some columns, as they were put in.
    """

    name: str
    make: Sequence[str]
    declared: str
    ask: str
    rows: int
    written: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def named_oddly(
    table: str,
    names: Sequence[str],
    quoted: Callable[[str], str],
    *,
    text: str = "text",
    schema: str = "",
    before: Sequence[str] = (),
) -> Specimen:
    """A table of two rows with a column of each of ``names``, and a name as odd itself.

    ``table`` is its full name in SQL; ``text`` the type of its columns; ``schema`` the line that
    declares its schema; ``before`` what is to be made first.
    """
    columns = ", ".join(f"{quoted(name)} {text}" for name in names)
    key = f"{quoted('Mixed Case')}, {quoted('per%cent')}"
    cells = [", ".join(f"'{row}{index}'" for index in range(len(names))) for row in "ab"]
    rows = ", ".join(f"({each})" for each in cells)
    return Specimen(
        "names of every kind",
        [
            *before,
            f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))",
            f"INSERT INTO {table} VALUES {rows}",
        ],
        f"""
        {schema}
        table = 'Order "50%" (new): x.y'
        key = ["Mixed Case", "per%cent"]
        """,
        f"SELECT * FROM {table} ORDER BY 1, 4",
        2,
        {name: [f"a{i}", f"b{i}"] for i, name in enumerate(names)},
    )
