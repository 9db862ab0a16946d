"""The process in which SQLite's rows are read: ``python -m resources.source.sqlite_child``.

Takes one order as JSON on its standard input; answers on its standard output with an empty line
when its snapshot is taken, then with a stream of Arrow batches; and ends. It is a process of its
own because ADBC brings a SQLite of its own, and two of them in one process take each other's locks
away (https://sqlite.org/howtocorrupt.html, section 2.2.1).
"""

# ruff: noqa: E402 - what is not to be imported is said before the imports
import json
import os
import sys
from typing import Any

# Arrow does without it, and it takes longer to import than all else here together.
sys.modules["numpy"] = None  # type: ignore[assignment]

import adbc_driver_manager
import adbc_driver_sqlite
import pyarrow as pa
import pyarrow.ipc

from resources.processes import die_with_parent


def main() -> None:
    """Carry out the order; any failure ends the process with an exit code that is not 0."""
    die_with_parent()
    order = json.load(sys.stdin)
    if os.getppid() != order["parent"]:
        return  # which has ended in the meantime
    output = sys.stdout.buffer
    # Not by its DB-API, which takes longer to import than many an export to read.
    with (
        adbc_driver_sqlite.connect(order["uri"]) as database,
        adbc_driver_manager.AdbcConnection(database) as connection,
    ):
        connection.set_autocommit(False)
        with adbc_driver_manager.AdbcStatement(connection) as first:
            _read(first, "SELECT count(*) FROM sqlite_schema", []).read_all()
        output.write(b"\n")
        output.flush()
        with adbc_driver_manager.AdbcStatement(connection) as statement:
            statement.set_options(**{"adbc.sqlite.query.batch_rows": str(order["batch_rows"])})
            batches = _read(statement, order["statement"], order["parameters"])
            with pa.ipc.new_stream(pa.PythonFile(output), batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)


def _read(
    statement: adbc_driver_manager.AdbcStatement, query: str, parameters: list[Any]
) -> pa.RecordBatchReader:
    statement.set_sql_query(query)
    if parameters:
        names = [str(number) for number in range(len(parameters))]
        row = pa.record_batch([pa.array([value]) for value in parameters], names=names)
        statement.bind(row)
    return pa.RecordBatchReader.from_stream(statement.execute_query()[0])


if __name__ == "__main__":
    main()
