"""``data_cleanup``: archives rows of a dataset, then deletes them from the source."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from resources.errors import FieldError
from resources.source.declarations import DATASETS
from resources.store.models import Role
from resources.task_types.base import Options, TaskType

if TYPE_CHECKING:
    from resources.requests import TaskRequest
    from resources.source.dataset import Dataset

MAX_CASCADE = 100
MAX_TABLE_NAME = 260
MAX_TOLERANCE = 2**31 - 1
MAX_PLAN_HASH = 4_000
# How many rows of each table, and the digest that the service made of them and the selection.
PLAN_HASH = r"^[0-9]{1,19}(\.[0-9]{1,19})*-[0-9a-f]{64}$"
# No control character: PostgreSQL keeps no text with a zero byte in it.
TABLE_NAME = r"^[^\x00-\x1f\x7f-\x9f]+$"


class CleanupDataset(StrEnum):
    """What a cleanup is about."""

    BOOKINGS = "bookings"
    PAYMENTS = "payments"
    USERS = "users"
    SERVICES = "services"
    RESULTS = "results"  # those of this service that are past their retention; no dataset


class DataCleanupOptions(Options):
    """``options`` of a cleanup."""

    names_datasets_at: ClassVar[str] = "/options/dataset"

    dataset: Annotated[CleanupDataset, Field(strict=False)] | None = Field(
        default=None,
        description="What is cleaned up: `bookings`, `payments`, `users`, `services`, or "
        "`results`, those of this service that have expired, and old tasks; needed",
    )
    dry_run: bool = Field(
        default=True,
        description="Whether it only tells what it would delete, and the `plan_hash` to do so with",
    )
    plan_hash: str | None = Field(
        default=None,
        max_length=MAX_PLAN_HASH,
        pattern=PLAN_HASH,
        description="What the dry run of the same selection gave; needed to delete",
    )
    tolerance: int = Field(
        default=0,
        ge=0,
        le=MAX_TOLERANCE,
        description="By how many rows a table's count may differ from the plan's",
    )
    cascade: (
        list[Annotated[str, Field(min_length=1, max_length=MAX_TABLE_NAME, pattern=TABLE_NAME)]]
        | None
    ) = Field(
        default=None,
        max_length=MAX_CASCADE,
        description="The tables, as the database calls them, whose rows go too where they refer "
        "to rows that go",
    )

    @field_validator("cascade")
    @classmethod
    def _each_once(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and len(set(names)) < len(names):
            raise PydanticCustomError("duplicate_table", "Names each table at most once")
        return names

    def told(self) -> dict[str, Any]:
        """See `Options.told`; whether anything is deleted is told always."""
        return {"dry_run": self.dry_run} | super().told()

    def chosen(self, declared: Sequence[str]) -> Sequence[str]:
        """See `Options.chosen`."""
        named = () if self.dataset is None else (self.dataset.value,)
        # What is not declared is chosen as well, to be refused.
        return [name for name in named if name in {*DATASETS, *declared}]

    def errors(self, request: "TaskRequest", datasets: Sequence["Dataset"]) -> list[FieldError]:  # noqa: ARG002
        """See `Options.errors`."""
        match self.dataset:
            case None:
                detail = "Name what is to be cleaned up."
                return [FieldError("/options/dataset", "required", detail)]
            case CleanupDataset.RESULTS:
                return self._errors_of_results(request)
        return [*_selection_errors(request), *self._plan_errors()]

    def _errors_of_results(self, request: "TaskRequest") -> list[FieldError]:
        """What does not go together for results, which take neither a selection nor a plan."""
        detail = (
            "Results and tasks go by their age, which the service's settings say: leave this out."
        )
        selection = ("filters", "date_from", "date_to")
        of_plans = ("plan_hash", "tolerance", "cascade")
        given = [f"/{name}" for name in selection if getattr(request, name)]
        given += [f"/options/{name}" for name in of_plans if getattr(self, name)]
        return [FieldError(pointer, "invalid_value", detail) for pointer in given]

    def _plan_errors(self) -> list[FieldError]:
        if not self.dry_run and self.plan_hash is None:
            detail = "Send the plan_hash that the dry run of the same selection gave."
            return [FieldError("/options/plan_hash", "plan_hash_required", detail)]
        if self.dry_run and self.plan_hash is not None:
            detail = 'A dry run makes a plan_hash and takes none. To delete, send "dry_run": false.'
            return [FieldError("/options/plan_hash", "invalid_value", detail)]
        return []


def _selection_errors(request: "TaskRequest") -> list[FieldError]:
    if request.filters or request.date_from is not None or request.date_to is not None:
        return []
    detail = "Say which rows: send at least one of filters, date_from, date_to."
    return [FieldError("/filters", "selection_required", detail)]


TASK_TYPE = TaskType(
    name="data_cleanup",
    summary="Archives rows of a dataset, then deletes them",
    asset=("maintenance", "archive"),
    datasets=DATASETS,
    options=DataCleanupOptions,
    role=Role.ADMIN,
    example={"dataset": "results", "dry_run": True},
)
