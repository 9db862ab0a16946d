"""A task as it is asked for: from the JSON of a request to a checked `TaskRequest`.

The API checks what clients send; a run checks its run config, which somebody may have edited in
Dagster's UI, with the same code.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from resources.errors import FieldError, InvalidRequest
from resources.source.catalog import Catalog
from resources.source.columns import Column
from resources.source.dataset import Dataset
from resources.source.filters import parse_filters
from resources.source.query import Selection
from resources.store.models import Priority
from resources.task_types import REGISTRY
from resources.task_types.base import Options, TaskType
from resources.task_types.export_options import Consistency, ExportOptions
from resources.timestamps import normalize_rfc3339, parse_rfc3339

MAX_BATCH_SIZE = 100_000
DEFAULT_BATCH_SIZE = 1_000

# Ours for each kind of error pydantic finds; kinds that are not here are already ours.
_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "too_short": "out_of_range",
    "too_long": "out_of_range",
    "enum": "invalid_value",
    "string_unicode": "invalid_value",
}


def _known_task_type(name: str) -> str:
    if name not in REGISTRY:
        known = ", ".join(sorted(REGISTRY))
        raise PydanticCustomError(
            "unknown_task_type", "Should be one of: {known}", {"known": known}
        )
    return name


def _instant(text: str) -> str:
    try:
        return normalize_rfc3339(text)
    except ValueError as error:
        raise PydanticCustomError("invalid_date", "The date {why}", {"why": str(error)}) from error


class TaskRequest(BaseModel):
    """What a client asks for. Dates are RFC 3339 texts in UTC."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    task_type: Annotated[str, AfterValidator(_known_task_type)]
    batch_size: int = Field(default=DEFAULT_BATCH_SIZE, ge=1, le=MAX_BATCH_SIZE)
    filters: dict[str, Any] = Field(default_factory=dict)
    date_from: Annotated[str, AfterValidator(_instant)] | None = None
    date_to: Annotated[str, AfterValidator(_instant)] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def type(self) -> TaskType:
        """The task type."""
        return REGISTRY[self.task_type]

    @property
    def priority(self) -> Priority:
        """Which tasks it goes before."""
        return Priority(self.options.get("priority", Priority.NORMAL))


def parse_request(body: Mapping[str, Any], catalog: Catalog) -> TaskRequest:
    """The request in the JSON object ``body``, its options as a task keeps them.

    Raises:
        InvalidRequest: With every bad field.
        DeclarationError: The dataset is not declared as the source has it.
        SourceUnavailable: The source had to be asked and does not answer.
    """
    errors: list[FieldError] = []
    request = _shape(body, errors)
    task_type = REGISTRY.get(str(body.get("task_type")))
    if task_type is not None:
        options = _options(task_type, body.get("options"), errors)
        undeclared = _undeclared_errors(task_type, options, catalog)
        datasets = [] if undeclared else _chosen(task_type, options, catalog)
        errors += undeclared
        errors += _dataset_errors(body, datasets, task_type)
        if request is not None and options is not None:
            errors += options.errors(request, datasets)
    if errors or request is None or task_type is None or options is None:
        raise InvalidRequest(errors)
    return request.model_copy(update={"options": options.told()})


def example_parameters(task_type: TaskType) -> dict[str, Any]:
    """What a run of ``task_type`` does that is started in Dagster without any config."""
    options = task_type.options.model_validate(dict(task_type.example))
    return {
        "batch_size": DEFAULT_BATCH_SIZE,
        "filters": {},
        "options": options.model_dump(mode="json", exclude_none=True),
    }


def body_errors(body: Mapping[str, Any]) -> list[FieldError]:
    """What of a request is wrong whatever the datasets are."""
    errors: list[FieldError] = []
    _shape(body, errors)
    task_type = REGISTRY.get(str(body.get("task_type")))
    if task_type is not None:
        _options(task_type, body.get("options"), errors)
    return errors + _date_errors(body, [])


def chosen_datasets(request: TaskRequest, catalog: Catalog) -> list[Dataset]:
    """The datasets that ``request``, which was checked, is about.

    Raises:
        DeclarationError: One is not declared as the source has it.
        SourceUnavailable: The source does not answer.
    """
    options = request.type.options.model_validate(request.options)
    return _chosen(request.type, options, catalog)


def _chosen(task_type: TaskType, options: Options | None, catalog: Catalog) -> list[Dataset]:
    declared = catalog.declared(task_type.datasets)
    if options is None:  # only a type with a single one leaves no choice
        names: Sequence[str] = declared if len(task_type.datasets) == 1 else ()
    else:
        names = options.chosen(declared)
    return [catalog.dataset(name) for name in names]


def _undeclared_errors(
    task_type: TaskType, options: Options | None, catalog: Catalog
) -> list[FieldError]:
    """What is chosen by name and not declared, where others are."""
    declared = catalog.declared(task_type.datasets)
    chosen = declared if options is None else options.chosen(declared)
    unknown = ", ".join(name for name in chosen if name not in declared)
    if not unknown:
        return []
    detail = f"The service has no such dataset: {unknown}."
    return [FieldError(task_type.options.names_datasets_at, "undeclared_dataset", detail)]


def select_rows(request: TaskRequest, catalog: Catalog) -> Selection:
    """What an export that was asked for by ``request`` is to read.

    Raises:
        InvalidRequest: The dataset changed since the request was accepted, and does not fit it.
        DeclarationError: The dataset is not declared as the source has it.
        SourceUnavailable: The source does not answer.
    """
    (dataset,) = chosen_datasets(request, catalog)
    names = request.options.get("columns") or list(dataset.columns)
    return select_from(dataset, request, (dataset.columns[name] for name in names))


def select_from(dataset: Dataset, request: TaskRequest, columns: Iterable[Column]) -> Selection:
    """The rows of ``dataset`` in the filters and the window of ``request``.

    A dataset without a date column is in every window as a whole.

    Raises:
        InvalidRequest: The dataset changed since the request was accepted, and does not fit it.
    """
    conditions, errors = parse_filters(request.filters, dataset.columns)
    if errors:
        raise InvalidRequest(errors)
    return Selection(
        dataset=dataset,
        columns=list(columns),
        conditions=conditions,
        date_from=request.date_from,
        date_to=request.date_to,
    )


def _shape(body: Mapping[str, Any], errors: list[FieldError]) -> TaskRequest | None:
    try:
        return TaskRequest.model_validate(dict(body))
    except ValidationError as error:
        errors += field_errors(error)
        return None


def _options(task_type: TaskType, given: Any, errors: list[FieldError]) -> Options | None:
    if given is not None and not isinstance(given, dict):
        return None  # the shape's errors tell
    try:
        return task_type.options.model_validate(given or {})
    except ValidationError as error:
        errors += field_errors(error, prefix="/options")
        return None


def _dataset_errors(
    body: Mapping[str, Any], datasets: Sequence[Dataset], task_type: TaskType
) -> list[FieldError]:
    """What does not fit the datasets, of the fields whose shape is right."""
    errors: list[FieldError] = []
    filters = body.get("filters")
    for dataset in datasets:
        if isinstance(filters, dict) and task_type.options.takes_filters:
            errors += parse_filters(filters, dataset.columns)[1]
        if issubclass(task_type.options, ExportOptions):
            errors += _column_errors(body.get("options"), dataset)
            errors += _consistency_errors(body.get("options"), dataset)
    errors += _date_errors(body, datasets)
    return list(dict.fromkeys(errors))


def _consistency_errors(options: Any, dataset: Dataset) -> list[FieldError]:
    wanted = options.get("consistency") if isinstance(options, dict) else None
    if wanted != Consistency.RESUME or dataset.is_resumable:
        return []
    detail = (
        "An export of this dataset cannot go on where another one stopped: the values of its key "
        'are masked, left out, or of a kind whose order is not theirs. Leave out "consistency".'
    )
    return [FieldError("/options/consistency", "not_resumable", detail)]


def _column_errors(options: Any, dataset: Dataset) -> list[FieldError]:
    names = options.get("columns") if isinstance(options, dict) else None
    return [
        FieldError(f"/options/columns/{index}", "unknown_column", "No such column.")
        for index, name in enumerate(names if isinstance(names, list) else [])
        if isinstance(name, str) and name not in dataset.columns
    ]


def _date_errors(body: Mapping[str, Any], datasets: Sequence[Dataset]) -> list[FieldError]:
    dates = {name: body[name] for name in ("date_from", "date_to") if body.get(name) is not None}
    if dates and datasets and all(dataset.date_column is None for dataset in datasets):
        detail = "The dataset has no date column."
        return [FieldError(f"/{name}", "no_date_column", detail) for name in dates]
    try:
        first, last = (parse_rfc3339(str(dates[name])) for name in ("date_from", "date_to"))
    except (KeyError, ValueError):
        return []  # open at one end, or the shape's errors tell
    if first > last:
        return [FieldError("/date_to", "reversed_dates", "date_to lies before date_from.")]
    return []


def field_errors(error: ValidationError, prefix: str = "") -> list[FieldError]:
    """What pydantic found, in this service's words. No input is repeated."""
    return [_field_error(each, prefix) for each in error.errors(include_input=False)]


def _field_error(error: ErrorDetails, prefix: str) -> FieldError:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in error["loc"])
    pointer = "/".join([prefix, *steps])
    return FieldError(pointer, _code(error["type"]), error["msg"] + ".")


def _code(kind: str) -> str:
    if kind.endswith("_type"):
        return kind if kind == "unknown_task_type" else "invalid_type"
    return _CODES.get(kind, kind)
