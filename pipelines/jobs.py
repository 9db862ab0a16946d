"""What a task type's job does: takes its run config, does the task, and tells how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from dagster import (
    AssetExecutionContext,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    RetryRequested,
    TableColumn,
    TableSchema,
)
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from sqlalchemy.exc import SQLAlchemyError

from pipelines.exports import Export, Exported
from pipelines.run_control import RunControl, patiently
from resources.engine.interrupt import end_as_cancelled, end_as_interrupted, interrupts_noted
from resources.engine.names import task_type_of
from resources.engine.storage import state_engine
from resources.errors import (
    AttemptInterrupted,
    AttemptSuperseded,
    DeclarationError,
    InvalidRequest,
    SourceAway,
    SourceRefused,
    SourceUnavailable,
    TaskFailed,
    Unavailable,
)
from resources.processes import die_with_parent
from resources.requests import TaskRequest, parse_request, select_rows
from resources.results.factory import result_store
from resources.settings import load_settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
from resources.source.masking import load_masking
from resources.store.attempts import AttemptStore
from resources.store.models import Task
from resources.task_types.base import TaskType

# A source that is away for a few seconds costs no task: the run starts over, within its attempt.
# While it waits it does not see a cancellation, but at once afterwards.
SOURCE_RETRIES = 4
SOURCE_RETRY_SECONDS = 2
SOURCE_UNAVAILABLE = (
    "The source database did not answer, or ended the query. Submit the task again later."
)
SOURCE_REFUSED = (
    "The source database refused the query, or failed in it. The operator finds the reason in the "
    "source's log."
)


def config_model(task_type: TaskType) -> type[Config]:
    """The run config of a task type's job, with the fields of the request it stands for."""
    options = create_model(
        f"{task_type.name}_options", __base__=Config, **_config_fields(task_type.options)
    )
    fields = _config_fields(TaskRequest)
    del fields["task_type"]
    fields["options"] = (options, Field(default_factory=options))
    return create_model(f"{task_type.name}_parameters", __base__=Config, **fields)


def _config_fields(model: type[BaseModel]) -> dict[str, Any]:
    return {name: _config_field(field) for name, field in model.model_fields.items()}


def _config_field(field: FieldInfo) -> tuple[Any, Any]:
    """The field for Dagster: it checks the plain type; the request's model checks the rest."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Enum):
        default = default.value
    return (_plain(field.annotation), Field(default=default, description=field.description))


def _plain(annotation: Any) -> Any:
    """``annotation`` with texts for enums: Dagster wants a member's name, the API its value."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return Union[tuple(_plain(each) for each in get_args(annotation))]  # noqa: UP007
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return str
    return annotation


def run_export(
    task_type: TaskType, context: AssetExecutionContext, config: Config
) -> MaterializeResult[Any]:
    """Do the task of this run. A task whose result stands already is left as it is."""
    die_with_parent()
    if task_type_of(context.run) != task_type.name:
        raise Failure(
            description="One run makes one result: materialize the exports one by one, or launch "
            "the job of each.",
            allow_retries=False,
        )
    settings = load_settings()
    attempt = AttemptStore(state_engine(), context.run_id)
    with interrupts_noted() as interrupted, _failures_told(context, attempt, interrupted):
        task = patiently(attempt.claim)
        if task.result is not None:
            return MaterializeResult(metadata={"task": task.id, "rows": task.result["rows"]})
        source = connect_source(settings.source)
        catalog = Catalog(source, load_declarations(settings.datasets), check_keys=False)
        body = {"task_type": task_type.name, **config.model_dump(exclude_none=True)}
        with RunControl(attempt, interrupted) as control:
            request = parse_request(body, catalog)
            export = Export(
                request=request,
                selection=select_rows(request, catalog),
                source=source,
                masking=load_masking(settings),
                folder=result_store(settings).attempt(task.id, context.run_id),
                attempt=attempt,
                control=control,
                warn=_warning_in_log(context),
            )
            return MaterializeResult(metadata=_metadata(task, export.run()))


def _warning_in_log(context: AssetExecutionContext) -> Callable[[str], None]:
    """Writes warnings into the run's event log; no run fails because that cannot be written."""

    def warn(warning: str) -> None:
        with suppress(Unavailable, SQLAlchemyError):
            context.log.warning(warning)

    return warn


@contextmanager
def _failures_told(
    context: AssetExecutionContext, attempt: AttemptStore, interrupted: Callable[[], bool]
) -> Iterator[None]:
    """Turn this service's errors into the task's ``error`` and the end of the run."""
    try:
        yield
    except AttemptInterrupted:
        end_as_interrupted()
    except AttemptSuperseded:
        end_as_cancelled(context.instance, context.run_id)
    except (TaskFailed, InvalidRequest, DeclarationError, SourceUnavailable) as error:
        if interrupted():  # which may well be why
            end_as_interrupted()
        if isinstance(error, SourceAway) and context.retry_number < SOURCE_RETRIES:
            raise RetryRequested(SOURCE_RETRIES, SOURCE_RETRY_SECONDS) from error
        failure = _as_task_failure(error)
        try:
            patiently(lambda: attempt.record_error(failure))
        except AttemptSuperseded:
            end_as_cancelled(context.instance, context.run_id)
        raise Failure(
            description=f"{failure.code}: {failure.detail}", allow_retries=False
        ) from error


def _as_task_failure(error: Exception) -> TaskFailed:
    match error:
        case TaskFailed():
            return error
        case InvalidRequest():
            return TaskFailed("invalid_request", str(error), retryable=False)
        case SourceRefused():
            return TaskFailed("source_refused", SOURCE_REFUSED, retryable=False)
        case SourceUnavailable():
            return TaskFailed("source_unavailable", SOURCE_UNAVAILABLE, retryable=True)
        case _:
            detail = "The dataset's declaration does not fit the source. Tell the operator."
            return TaskFailed("dataset_unusable", detail, retryable=False)


def _metadata(task: Task, exported: Exported) -> dict[str, Any]:
    manifest = exported.manifest
    columns = [
        TableColumn(each["name"], each["type"], description=_about_mask(each.get("mask")))
        for each in manifest["schema"]
    ]
    return {
        "task": task.id,
        "rows": manifest["rows"],
        "bytes": manifest["bytes"],
        "parts": len(manifest["files"]),
        "seconds": round(exported.seconds, 3),
        "dagster/column_schema": MetadataValue.table_schema(TableSchema(columns)),
        "dagster/row_count": manifest["rows"],
    }


def _about_mask(mask: str | None) -> str | None:
    return None if mask is None else f"Masked: {mask}"
