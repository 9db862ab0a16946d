"""What a run tells Dagster, and asks of it, besides its materialization."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    MetadataValue,
)
from sqlalchemy.exc import SQLAlchemyError

from resources.errors import Unavailable
from resources.settings import Settings
from resources.store.models import Task

# How many materializations are looked at for one to compare with.
HISTORY = 20


def warning_in_log(context: AssetExecutionContext) -> Callable[[str], None]:
    """Writes warnings into the run's event log; no run fails because that cannot be written."""

    def warn(warning: str) -> None:
        with suppress(Unavailable, SQLAlchemyError):
            context.log.warning(warning)

    return warn


def failed_check_in_log(context: AssetExecutionContext) -> Callable[[str, str], None]:
    """Writes at once that a check has failed, where no materialization is to come with it."""

    def tell(name: str, why: str) -> None:
        failed = AssetCheckEvaluation(
            asset_key=context.asset_key,
            check_name=name,
            passed=False,
            severity=AssetCheckSeverity.ERROR,
            description=why,
            metadata={},
        )
        with suppress(Unavailable, SQLAlchemyError):
            context.log_event(failed)

    return tell


def history_of(context: AssetExecutionContext) -> Callable[[], Iterator[Mapping[str, Any]]]:
    """Gives the metadata of the asset's last materializations, the newest first.

    The newest of all lies in a row of its own: only who goes on after it has the log searched.
    """

    def history() -> Iterator[Mapping[str, Any]]:
        latest = context.instance.get_latest_materialization_event(context.asset_key)
        if latest is None:
            return
        yield _metadata_of(latest.asset_materialization)
        found = context.instance.fetch_materializations(context.asset_key, limit=HISTORY)
        for record in found.records:
            # The events of the newest may be gone, with its run.
            if record.event_log_entry.timestamp != latest.timestamp:
                yield _metadata_of(record.asset_materialization)

    return history


def _metadata_of(materialization: Any) -> Mapping[str, Any]:
    return materialization.metadata if materialization else {}


def about_task(task: Task, settings: Settings) -> dict[str, Any]:
    """Which task a materialization is the result of, and where the API tells of it."""
    path = f"/api/v1/workers/{task.id}/"
    told: dict[str, Any] = {"task": MetadataValue.text(str(task.id))}
    if settings.public_url is None:
        return told | {"task in the API": MetadataValue.text(path)}
    url = f"{settings.public_url}{path}"
    return told | {"task in the API": MetadataValue.url(url), "dagster/uri": f"{url}result/"}


def with_all_checks(
    context: AssetExecutionContext, told: Iterable[AssetCheckResult], why_not: str
) -> Sequence[AssetCheckResult]:
    """``told``, and of the run's other checks that they were not made, and ``why_not``.

    Dagster fails a run that leaves one out, and no task fails for its checks.
    """
    results = list(told)
    names = {each.check_name for each in results}
    missing = [each for each in context.selected_asset_check_keys if each.name not in names]
    return results + [not_made(each.name, why_not) for each in missing]


def not_made(name: str, why_not: str) -> AssetCheckResult:
    """The result of a check that was not made: neither passed nor any fault of the data."""
    return AssetCheckResult(
        passed=False,
        check_name=name,
        severity=AssetCheckSeverity.WARN,
        description=f"Not checked: {why_not}",
    )
