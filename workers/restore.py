"""``workers restore``: the rows that a cleanup has deleted, put back."""

import click

from resources.archives.restoring import CannotRestore, RestoredTable, restore
from resources.archives.store import archive_store
from resources.errors import SourceUnavailable, TaskNotFound
from resources.settings import Settings
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.models import Principal, Role
from resources.store.tasks import TaskStore
from workers.reports import counted, printable, unavailable

OPERATOR = Principal("restore", Role.ADMIN)


def restore_archive(settings: Settings, task_id: int) -> bool:
    """Put back what the task ``task_id`` has archived, and print what became of it.

    Returns:
        Whether every row is as it was.

    Raises:
        ArchiveNotFound: The task has no archive.
        ArchiveDamaged: The archive is not whole.
        CannotRestore: The task is still at work, or the tables are others by now.
        SourceUnavailable: The source does not answer.
    """
    _refuse_at_work(settings, task_id)
    archive = archive_store(settings).archive(task_id)
    try:
        told = restore(archive, settings.source, _tell)
    except SourceUnavailable as error:
        raise SourceUnavailable(unavailable(settings.source, error)) from error
    return all(each.is_whole for each in told)


def _refuse_at_work(settings: Settings, task_id: int) -> None:
    """A run that deletes would not see that rows are there again."""
    engine = connect(settings.state_url)
    try:
        migrate(engine)
        task = TaskStore(engine).get(task_id, OPERATOR)
    except TaskNotFound:
        return  # as where the service was set up anew
    finally:
        engine.dispose()
    if not task.status.is_final:
        msg = f"Task {task_id} is {task.status}: cancel it, or wait for its end."
        raise CannotRestore(msg)


def _tell(table: RestoredTable) -> None:
    archived = f"{counted(table.archived, 'row')} archived"
    lines = [f"{table.table}: {archived}, {table.restored} restored, {table.there} there already"]
    if table.different:
        lines.append(f"  {table.different} there with other values, left as they are")
    if table.refused:
        lines.append(f"  {table.refused} refused by the database, not restored")
    click.echo(printable(lines))
