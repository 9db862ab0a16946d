"""What a task type declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from resources.errors import FieldError
from resources.store.models import Priority, Role

if TYPE_CHECKING:
    from resources.requests import TaskRequest
    from resources.source.dataset import Dataset


class Options(BaseModel):
    """Base of every type's ``options``: strict, and nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    # Whether filters are about columns; else `errors` has to refuse them.
    takes_filters: ClassVar[bool] = True
    # Which field of a request says what datasets it is about.
    names_datasets_at: ClassVar[str] = "/task_type"

    priority: Annotated[Priority, Field(strict=False)] = Field(
        default=Priority.NORMAL,
        description="`low`, `normal` or `high` (admins): which tasks start first. A run that was "
        "started in Dagster is not asked",
    )

    def told(self) -> dict[str, Any]:
        """The options as a task keeps and shows them: those that are not their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def chosen(self, declared: Sequence[str]) -> Sequence[str]:
        """Which datasets the request is about, of those of its type that are ``declared``."""
        return declared

    def errors(self, request: "TaskRequest", datasets: Sequence["Dataset"]) -> list[FieldError]:  # noqa: ARG002
        """What does not go together in ``request``, which is about ``datasets``."""
        return []


@dataclass(frozen=True)
class TaskType:
    """One task type.

    Attributes:
        name: As clients write it; also the name of its Dagster job.
        summary: What it does, in one line.
        asset: Group and name of what it makes, in Dagster's asset graph.
        datasets: The datasets that it may be about; filters and dates apply to those of them that
            a request chooses.
        options: The model of its ``options``.
        role: The least role that may ask for it.
        example: The options of a run that is started in Dagster without any: harmless, and enough
            for the task to be done. Dagster's launchpad begins with them.
    """

    name: str
    summary: str
    asset: tuple[str, str]
    datasets: tuple[str, ...]
    options: type[Options]
    role: Role = Role.USER
    example: Mapping[str, Any] = field(default_factory=dict)
