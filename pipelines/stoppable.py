"""The source, such that a run in the middle of a query notices when it must stop."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection

from pipelines.run_control import RunControl
from resources.errors import SourceUnavailable
from resources.source.connection import cancel_query


@contextmanager
def stoppable(
    opening: AbstractContextManager[Connection],
    control: RunControl,
    interrupt_too: Callable[[], None] = lambda: None,
) -> Iterator[Connection]:
    """The connection that ``opening`` gives; a query on it ends when the run must stop.

    Args:
        opening: A snapshot, or a transaction.
        control: Tells when to stop.
        interrupt_too: Ends what is done besides while inside; called from another thread.

    Raises:
        SourceUnavailable: The source does not answer, or refuses a query.
        AttemptSuperseded: The run must stop.
    """

    def interrupt(connection: Connection) -> None:
        interrupt_too()
        cancel_query(connection)

    try:
        with opening as connection, control.interruptible(lambda: interrupt(connection)):
            yield connection
    except SourceUnavailable:
        control.raise_if_stopped()  # the query may have been cancelled
        raise
