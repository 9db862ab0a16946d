"""The source as a cleanup reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from pipelines.assignments import Assignment
from pipelines.stoppable import stoppable
from resources.requests import chosen_datasets, select_from
from resources.source.connection import snapshot
from resources.source.dialects import dialect_of
from resources.source.query import Selection


def selection_of(assignment: Assignment) -> Selection:
    """The rows of the dataset that the cleanup is about.

    Raises:
        InvalidRequest: The dataset changed since the request was accepted, and does not fit it.
        DeclarationError: The dataset is not declared as the source has it.
        SourceUnavailable: The source does not answer.
    """
    (dataset,) = chosen_datasets(assignment.request, assignment.catalog)
    return select_from(dataset, assignment.request, dataset.columns.values())


@contextmanager
def reading(assignment: Assignment) -> Iterator[Connection]:
    """The source's snapshot; a query in it ends when the run must stop.

    Raises:
        SourceUnavailable: The source does not answer, or refuses a query, for one because its
            user may not see every row: a deletion would take along those that refer, unseen.
        AttemptSuperseded: The run must stop.
    """
    with stoppable(snapshot(assignment.source), assignment.control) as connection:
        dialect_of(connection).see_every_row(connection)
        yield connection
