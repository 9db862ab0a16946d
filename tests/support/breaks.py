"""Breaks a write at each moment of its transaction, and looks at what is left of it."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from inspect import getmodule, isfunction
from types import CodeType, FunctionType
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
)

from resources.store.database import _WRITES, ChangeListener, _PostgresListener, listen

COMMIT = "before the commit"
# What is another each time: ids, secrets, instants, and what has them inside.
_VARYING = {"id", "run_id", "request_id", "digest", "start_time", "end_time", "run_body", "value"}

Break = Callable[[Connection], None]
Rows = list[dict[str, Any]]


def close(connection: Connection) -> None:
    """SQLite loses the connection, as when the process dies that has it."""
    # By itself, closing leaves the transaction open until the last result is forgotten.
    _driver(connection).rollback()
    _driver(connection).close()


def refuse_once(connection: Connection) -> None:
    """SQLite refuses what comes next, be it the commit; the transaction stays open."""
    answers = itertools.chain([sqlite3.SQLITE_DENY], itertools.repeat(sqlite3.SQLITE_OK))
    _driver(connection).set_authorizer(lambda *_: next(answers))


def end_backend(connection: Connection) -> None:
    """PostgreSQL ends the process that serves the connection."""
    pid = _driver(connection).info.backend_pid
    with create_engine(connection.engine.url, poolclass=NullPool).connect() as other:
        assert other.scalar(select(func.pg_terminate_backend(pid)))


def lose_the_answer(connection: Connection) -> None:
    """The commit takes effect, and the connection breaks before the client hears of it."""
    # Neither driver takes note of a COMMIT that it is given as a statement: its own comes too late.
    _driver(connection).cursor().execute("COMMIT")
    breaks_of(connection.engine)[0](connection)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def breaks_of(engine: Engine) -> Sequence[Break]:
    """The ways in which a connection to this database can break."""
    return {"sqlite": (close, refuse_once), "postgresql": (end_backend,)}[engine.dialect.name]


@contextmanager
def noting(engine: Engine, note: Callable[[str, Connection], None]) -> Iterator[None]:
    """While inside, ``note`` is told each moment that the engine's writing transactions pass."""

    def before(connection: Connection, _cursor: Any, sql: str, *_rest: Any) -> None:
        tell(f"before {sql}", connection)

    def after(connection: Connection, _cursor: Any, sql: str, *_rest: Any) -> None:
        tell(f"after {sql}", connection)

    def tell(moment: str, connection: Connection) -> None:
        if _is_writing(connection) and "BEGIN" not in moment:
            note(moment, connection)

    def commit(connection: Connection) -> None:
        tell(COMMIT, connection)

    hooks: dict[str, Callable[..., None]] = {
        "before_cursor_execute": before,
        "after_cursor_execute": after,
        "commit": commit,
    }
    for name, hook in hooks.items():
        event.listen(engine, name, hook)
    try:
        yield
    finally:
        for name, hook in hooks.items():
            event.remove(engine, name, hook)


def _is_writing(connection: Connection) -> bool:
    options = connection.get_execution_options()
    return options.get(_WRITES, True) and options.get("isolation_level") != "AUTOCOMMIT"


def moments_of(engine: Engine, write: Callable[[], object]) -> list[str]:
    """What ``write`` passes on its way when nothing breaks."""
    passed: list[str] = []
    with noting(engine, lambda moment, _connection: passed.append(moment)):
        write()
    return passed


@contextmanager
def broken(engine: Engine, number: int, how: Break) -> Iterator[None]:
    """While inside, the connection breaks at its transaction's moment ``number``, from 0."""
    count = itertools.count()

    def note(_moment: str, connection: Connection) -> None:
        if next(count) == number:
            how(connection)

    with noting(engine, note):
        yield


def assert_one_transaction(
    engine: Engine,
    tables: Sequence[Table],
    write: Callable[[], object],
    error: type[Exception],
    subtests: pytest.Subtests,
) -> None:
    """Wherever ``write`` breaks, it raises ``error`` and nothing has happened; it can be redone."""
    before = read(engine, tables)
    with closing(listen(engine)) as listener:
        # Given
        moments = moments_of(engine, write)
        done, announced = told(read(engine, tables), before), hears(listener)
        assert done != told(before, before)
        assert moments.index(COMMIT) == len(moments) - 1  # it commits once, at its end

        for how, number in itertools.product(breaks_of(engine), _telling(moments)):
            with subtests.test(how.__name__, moment=moments[number]):
                restore(engine, tables, before)
                hears(listener)
                # When
                with pytest.raises(error), broken(engine, number, how):
                    write()
                # Expect
                assert read(engine, tables) == before
                assert not hears(listener)
                # When
                write()
                # Expect
                assert told(read(engine, tables), before) == done
                assert hears(listener) == announced
    engine.dispose()  # what was tampered with serves nobody else


def _telling(moments: list[str]) -> Iterator[int]:
    """The numbers of the moments worth breaking at: "after" is the next one's "before"."""
    last_statement = len(moments) - 2
    for number, moment in enumerate(moments):
        if moment.startswith("before") or number == last_statement:
            yield number


def read(engine: Engine, tables: Sequence[Table]) -> dict[str, Rows]:
    """Every row of the tables, in their keys' order."""
    with engine.connect() as connection:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in tables
        }


def restore(engine: Engine, tables: Sequence[Table], rows: dict[str, Rows]) -> None:
    """Put into the tables what was read from them."""
    with engine.begin() as connection:
        for table in reversed(tables):
            connection.execute(table.delete())
        for table in tables:
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])


def told(after: dict[str, Rows], before: dict[str, Rows]) -> dict[str, Rows]:
    """The tables as every such write leaves them: what varies is only told to be new."""
    known = {
        _place(table, row, name) for table, rows in before.items() for row in rows for name in row
    }

    def tell(table: str, row: Mapping[str, Any], name: str) -> Any:
        varies = name in _VARYING or isinstance(row[name], datetime)
        return "new" if varies and _place(table, row, name) not in known else row[name]

    return {
        table: [{name: tell(table, row, name) for name in row} for row in rows]
        for table, rows in after.items()
    }


def _place(table: str, row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A value with where it stands: one of a tag means something by the tag's key."""
    return table, name, str(row.get("key")), str(row[name])


def hears(listener: ChangeListener) -> bool:
    """Whether a change was announced since this was asked last."""
    if isinstance(listener, _PostgresListener):
        # The server sends what was announced before it answers whatever is asked later.
        listener._connection.cursor().execute("SELECT 1")
    return listener.wait(0)


def methods_that_use(cls: type, name: str) -> set[str]:
    """The public methods that use ``name``, be it by way of others in their class or module."""
    own = _functions(vars(cls))
    reachable = _functions(vars(getmodule(cls))) | own

    def uses(function: FunctionType, seen: frozenset[str]) -> bool:
        used = _names_in(function.__code__)
        inner = (used & reachable.keys()) - seen
        return name in used or any(uses(reachable[each], seen | inner) for each in inner)

    return {each for each in own if not each.startswith("_") and uses(own[each], frozenset())}


def _functions(namespace: Mapping[str, Any]) -> dict[str, FunctionType]:
    return {name: value for name, value in namespace.items() if isfunction(value)}


def _names_in(code: CodeType) -> set[str]:
    """Every global and attribute that the code, or a function inside it, names."""
    inner = [_names_in(each) for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*inner)
