"""What a task type's job does: takes its run config, does the task, and tells how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from dagster import (
    AssetExecutionContext,
    Config,
    DagsterRun,
    Failure,
    MaterializeResult,
    RetryRequested,
)
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from pipelines.assignments import Assignment
from pipelines.dagster_log import (
    about_task,
    failed_check_in_log,
    history_of,
    warning_in_log,
    with_all_checks,
)
from pipelines.run_control import RunControl, patiently
from resources.engine.interrupt import end_as_cancelled, end_as_interrupted, interrupts_noted
from resources.engine.names import has_parameters, parameters_of, task_type_of
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
)
from resources.processes import die_with_parent
from resources.requests import TaskRequest, parse_request
from resources.results.factory import result_store
from resources.settings import Settings, load_settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
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
NOT_TOLD = "the job did not tell."
PUBLISHED_BEFORE = "the result was published by an earlier attempt, which ended before its checks."

Work = Callable[[Assignment], MaterializeResult[Any]]
"""Does a task, publishes its result, and tells Dagster's asset graph of it."""


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
    told = Field(default=_value(default), description=field.description)
    return (_plain(field.annotation), told)


def _value(default: Any) -> Any:
    """``default`` with texts for enums."""
    if isinstance(default, list):
        return [_value(each) for each in default]
    return default.value if isinstance(default, Enum) else default


def _plain(annotation: Any) -> Any:
    """``annotation`` with texts for enums: Dagster wants a member's name, the API its value."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return Union[tuple(_plain(each) for each in get_args(annotation))]  # noqa: UP007
    if get_origin(annotation) is list:
        (each,) = get_args(annotation)
        return list[_plain(each)]  # type: ignore[misc]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return str
    return annotation


def run_task(
    task_type: TaskType, context: AssetExecutionContext, config: Config, work: Work
) -> MaterializeResult[Any]:
    """Do the task of this run by ``work``. One whose result stands already is left as it is."""
    die_with_parent()
    if task_type_of(context.run) != task_type.name:
        raise Failure(
            description="One run makes one result: materialize the assets one by one, or launch "
            "the job of each.",
            allow_retries=False,
        )
    settings = load_settings()
    attempt = AttemptStore(state_engine(), context.run_id)
    with interrupts_noted() as interrupted, _failures_told(context, attempt, interrupted):
        task = patiently(attempt.claim)
        if task.result is not None:
            return _as_published(context, task, settings)
        source = connect_source(settings.source)
        catalog = Catalog(source, load_declarations(settings.datasets), check_keys=False)
        body = {"task_type": task_type.name, **_parameters(task_type, context.run, config)}
        with RunControl(attempt, interrupted) as control:
            made = work(
                Assignment(
                    task=task,
                    request=parse_request(body, catalog),
                    catalog=catalog,
                    source=source,
                    settings=settings,
                    folder=result_store(settings).attempt(task.id, context.run_id),
                    attempt=attempt,
                    control=control,
                    warn=warning_in_log(context),
                    history=history_of(context),
                    fails_check=failed_check_in_log(context),
                )
            )
        return MaterializeResult(
            metadata={**about_task(task, settings), **(made.metadata or {})},
            check_results=with_all_checks(context, made.check_results or (), NOT_TOLD),
        )


def _parameters(task_type: TaskType, run: DagsterRun, config: Config) -> dict[str, Any]:
    """The run's config; where nobody gave one, the example of its type."""
    if has_parameters(run, task_type.name):
        return config.model_dump(exclude_none=True)
    return parameters_of(run, task_type.name)


def _as_published(
    context: AssetExecutionContext, task: Task, settings: Settings
) -> MaterializeResult[Any]:
    """Of a task whose result another attempt published, and did not live to tell."""
    rows = task.result["rows"] if task.result else 0
    return MaterializeResult(
        metadata={**about_task(task, settings), "rows": rows},
        check_results=with_all_checks(context, (), PUBLISHED_BEFORE),
    )


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
