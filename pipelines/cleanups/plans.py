"""What a cleanup would do: which rows of which tables go, and the hash that says so.

A plan's hash has how many rows of each table go, and a keyed digest of them and of the selection
(HMAC-SHA-256, RFC 2104). Only this service can make it, so nothing has to be stored for a run to
know what was planned.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, and_

from resources.archives.references import Doomed, Referring, doom
from resources.archives.tables import RawTable, TableName, raw_table
from resources.errors import TaskFailed
from resources.requests import TaskRequest
from resources.source.arrow import NOT_REPRESENTABLE, to_array
from resources.source.dataset import Dataset
from resources.source.query import Selection
from resources.source.reader import check_spelling
from resources.task_types.data_cleanup import DataCleanupOptions

SAMPLE_KEYS = 20
_PURPOSE = b"workers: the plan of a cleanup"


@dataclass(frozen=True)
class Plan:
    """What is to go.

    Attributes:
        tables: The tables that rows go from, parents before children.
        doomed: Which rows of them.
        counts: How many of each.
        referring: What refers to them.
        keys: Keys of some of the dataset's rows, as far as they may be seen.
        hash: Says all that.
    """

    tables: Sequence[RawTable]
    doomed: Doomed
    counts: Sequence[int]
    referring: Sequence[Referring]
    keys: Sequence[dict[str, Any]]
    hash: str

    @property
    def rows(self) -> int:
        """How many rows go, of all tables."""
        return sum(self.counts)

    def document(self) -> dict[str, Any]:
        """As clients see it: no cell but keys that may be seen."""
        return {
            "rows": self.rows,
            "tables": [
                {"table": str(each.name), "rows": rows}
                for each, rows in zip(self.tables, self.counts, strict=True)
            ],
            "keys": list(self.keys),
            "references": [each.document() for each in self.referring],
            "plan_hash": self.hash,
        }

    def refuse_references(self) -> None:
        """Make sure that nothing refers to rows that go, and stays.

        Raises:
            TaskFailed: Something does (``rows_referenced``).
        """
        staying = {str(each.reference.child): each for each in self.referring if not each.goes}
        tables = [name for name, each in staying.items() if each.rows]
        if tables:
            raise rows_referenced(tables)


def rows_referenced(tables: Sequence[str]) -> TaskFailed:
    """The error for rows that others refer to."""
    return TaskFailed(
        "rows_referenced",
        f"Rows of {', '.join(tables)} refer to rows that were to be deleted. Choose rows that "
        'nothing refers to, or name the tables in "cascade" and make a new plan. Rows of one table '
        "that refer to each other are not deleted together.",
        retryable=False,
    )


def make_plan(
    connection: Connection, request: TaskRequest, selection: Selection, key: bytes
) -> Plan:
    """What a cleanup of ``selection`` is to do, as the source is in the connection's snapshot.

    Args:
        connection: In the snapshot.
        request: What was asked for.
        selection: The rows of the dataset.
        key: Under which the plan is hashed.

    Raises:
        TaskFailed: The rows cannot be archived as they are, or in no order.
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    check_spelling(connection, selection)
    dataset = selection.dataset
    options = DataCleanupOptions.model_validate(request.options)
    name = TableName.of(connection, dataset.schema, dataset.table_name)
    root = raw_table(connection, name, dataset.key)
    doomed = doom(connection, name, and_(*selection.where()), options.cascade or ())
    tables = [root if each == name else raw_table(connection, each) for each in doomed.conditions]
    counts = [doomed.count(connection, each.name) for each in tables]
    return Plan(
        tables=tables,
        doomed=doomed,
        counts=counts,
        referring=doomed.referring(connection),
        keys=_sample(connection, selection),
        hash=_hash(key, _identity(request, dataset, tables, doomed), counts),
    )


def planned_counts(plan: Plan, request: TaskRequest, dataset: Dataset, key: bytes) -> list[int]:
    """How many rows of each table the plan had that ``request`` names.

    Raises:
        TaskFailed: That was a plan of something else (``plan_mismatch``).
    """
    given = str(request.options["plan_hash"])
    told, _, _ = given.partition("-")
    counts = [int(each) for each in told.split(".")]
    expected = _hash(key, _identity(request, dataset, plan.tables, plan.doomed), counts)
    if not hmac.compare_digest(given.encode(), expected.encode()) or len(counts) != len(
        plan.tables
    ):
        raise TaskFailed(
            "plan_mismatch",
            "The plan_hash is not of this selection, or the tables have changed since. Make a new "
            "plan with a dry run. Nothing was deleted.",
            retryable=False,
        )
    return counts


def _hash(key: bytes, identity: str, counts: Sequence[int]) -> str:
    told = ".".join(map(str, counts))
    own = hmac.new(key, _PURPOSE, hashlib.sha256).digest()
    digest = hmac.new(own, f"{told}\n{identity}".encode(), hashlib.sha256).hexdigest()
    return f"{told}-{digest}"


def _identity(
    request: TaskRequest, dataset: Dataset, tables: Sequence[RawTable], doomed: Doomed
) -> str:
    """All that makes a plan another one: what was asked for, and what the tables are."""
    return json.dumps(
        [
            dataset.identity(),
            request.filters,
            request.date_from,
            request.date_to,
            sorted(request.options.get("cascade") or ()),
            [each.document() for each in tables],
            sorted(repr(ref) for each in tables for ref in doomed.to(each.name)),
        ],
        sort_keys=True,
    )


def _sample(connection: Connection, selection: Selection) -> list[dict[str, Any]]:
    """The keys of the first rows; columns that are masked or left out are not told."""
    dataset = selection.dataset
    told = [dataset.columns[name] for name in dataset.key if dataset.tells(name)]
    if not told:
        return []
    query = Selection(
        dataset, told, selection.conditions, selection.date_from, selection.date_to
    ).rows_query()
    rows = connection.execute(query.limit(SAMPLE_KEYS)).all()
    try:
        arrays = [
            to_array(column, [row[index] for row in rows], dataset.dialect.name)
            for index, column in enumerate(told)
        ]
    except NOT_REPRESENTABLE:
        raise TaskFailed(
            "value_not_representable",
            "A key holds a value that is not of its column's type. Have the column declared to be "
            "read as text.",
            retryable=False,
        ) from None
    cells = [array.cast(pa.string()) if _is_no_json(array) else array for array in arrays]
    return [
        {column.name: cell[index].as_py() for column, cell in zip(told, cells, strict=True)}
        for index in range(len(rows))
    ]


def _is_no_json(array: pa.Array) -> bool:
    of = array.type
    return not (pa.types.is_integer(of) or pa.types.is_boolean(of) or pa.types.is_string(of))
