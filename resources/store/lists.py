"""Lists of tasks, page by page.

A page and its count are one statement, which finds the ids in an index first: no row is read that
is not shown, however far from the start a page lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, bindparam, func, select

from resources.errors import PageOutOfRange
from resources.store.database import can_estimate, estimated_rows, read
from resources.store.models import Principal, Status, Task
from resources.store.tables import tasks

# So many tasks of more than one owner are counted; how many more there are is estimated.
MOST_COUNTED = 10_000

# What a list may be narrowed by; the value of each condition is bound under its name.
_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "visible_owner": tasks.c.owner == bindparam("visible_owner"),
    "owner": tasks.c.owner == bindparam("owner"),
    "statuses": tasks.c.status.in_(bindparam("statuses", expanding=True)),
    "task_types": tasks.c.task_type.in_(bindparam("task_types", expanding=True)),
}
_OWNERS = frozenset({"visible_owner", "owner"})


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks to list; an empty sequence means any."""

    statuses: Sequence[Status] = ()
    task_types: Sequence[str] = ()
    owner: str | None = None


@dataclass(frozen=True)
class TaskPage:
    """One page of a list, newest first.

    Attributes:
        tasks: What stands on it.
        count: How many tasks the whole list has.
        has_next: Whether another page follows.
        is_count_estimated: Whether ``count`` is what the database expects, and not counted.
    """

    tasks: list[Task]
    count: int
    has_next: bool
    is_count_estimated: bool = False


def read_page(
    engine: Engine,
    values: Mapping[str, Any],
    *,
    page: int,
    page_size: int,
    most_counted: int,
) -> TaskPage:
    """Page ``page`` (from 1) of the tasks that fit `list_values`.

    Raises:
        PageOutOfRange: The page lies past the end (page 1 never does).
        Unavailable: The database does not answer.
    """
    is_counted = not _OWNERS.isdisjoint(values) or not can_estimate(engine)
    statement = list_statement(frozenset(values), is_counted=is_counted)
    before = (page - 1) * page_size
    bounds = {"before": before, "one_more": page_size + 1, "counted": most_counted + 1}
    rows = read(engine, statement, {**values, **bounds})
    if not rows and page > 1:
        raise PageOutOfRange
    shown = [Task.from_row(row) for row in rows[:page_size]]
    count = rows[0].list_count if rows else 0
    end = before + len(rows)
    if len(rows) <= page_size:
        return TaskPage(shown, end, has_next=False)
    if is_counted or count <= most_counted:
        return TaskPage(shown, count, has_next=True)
    estimate = estimated_rows(engine, _matching(frozenset(values)), values)
    return TaskPage(shown, max(estimate, count, end), has_next=True, is_count_estimated=True)


def list_values(principal: Principal, wanted: TaskFilter) -> dict[str, Any]:
    """What narrows the list of what ``principal`` sees and ``wanted`` keeps."""
    values: dict[str, Any] = {}
    if not principal.is_admin:
        values["visible_owner"] = principal.owner
    if wanted.owner is not None:
        values["owner"] = wanted.owner
    if wanted.statuses:
        values["statuses"] = wanted.statuses
    if wanted.task_types:
        values["task_types"] = wanted.task_types
    return values


def _matching(names: frozenset[str]) -> Select[int]:
    """The ids of the list that these conditions narrow."""
    return select(tasks.c.id).where(*(_CONDITIONS[name] for name in sorted(names)))


@cache  # putting it together takes longer than the database needs to carry it out
def list_statement(names: frozenset[str], *, is_counted: bool) -> Select[Any]:
    """A page and one row more, and in each row the count: of all, or as far as one counts."""
    matching = _matching(names)
    counted = matching if is_counted else matching.limit(bindparam("counted"))
    count = select(func.count()).select_from(counted.subquery()).scalar_subquery()
    chosen = (
        matching.order_by(tasks.c.id.desc())
        .limit(bindparam("one_more"))
        .offset(bindparam("before"))
        .subquery()
    )
    return (
        select(tasks, count.label("list_count"))
        .join(chosen, chosen.c.id == tasks.c.id)
        .order_by(tasks.c.id.desc())
    )
