"""``data_analysis``: what the data of all datasets says, column by column and together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from resources.errors import FieldError
from resources.source.declarations import DATASETS
from resources.task_types.base import Options, TaskType
from resources.zones import RequestedZone

if TYPE_CHECKING:
    from resources.requests import TaskRequest
    from resources.source.dataset import Dataset


class AnalysisOptions(Options):
    """``options`` of an analysis."""

    names_datasets_at: ClassVar[str] = "/options/datasets"

    datasets: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Which datasets to analyse, of `bookings`, `payments`, `users`, `services`; "
        "absent: all that are declared",
    )
    timezone: RequestedZone = Field(
        default="UTC",
        description="The IANA time zone whose days, weeks and months are told, such as "
        "`Europe/Berlin`",
    )

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        if len(set(value)) < len(value):
            raise PydanticCustomError("duplicate_dataset", "Names each dataset at most once")
        if not set(value) <= set(DATASETS):
            known = ", ".join(DATASETS)
            raise PydanticCustomError(
                "unknown_dataset", "Each should be one of: {known}", {"known": known}
            )
        return value

    def chosen(self, declared: Sequence[str]) -> Sequence[str]:
        """See `Options.chosen`: in the order in which they are declared."""
        return declared if self.datasets is None else self.datasets

    def errors(self, request: "TaskRequest", datasets: Sequence["Dataset"]) -> list[FieldError]:
        """See `Options.errors`."""
        if not request.filters or len(datasets) == 1:
            return []
        detail = "Filters are about one dataset: name it alone in options.datasets."
        return [FieldError("/filters", "filters_need_one_dataset", detail)]


TASK_TYPE = TaskType(
    name="data_analysis",
    summary="Analyses datasets: each column, what happened when, and the figures of the business",
    asset=("insights", "analysis"),
    datasets=DATASETS,
    options=AnalysisOptions,
)
