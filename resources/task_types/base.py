"""What a task type declares."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from resources.store.models import Priority, Role


class Options(BaseModel):
    """Base of every type's ``options``: strict, and nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    priority: Annotated[Priority, Field(strict=False)] = Field(
        default=Priority.NORMAL,
        description="`low`, `normal` or `high` (admins): which tasks start first. A run that was "
        "started in Dagster is not asked",
    )

    def told(self) -> dict[str, Any]:
        """The options as a task keeps and shows them: those that are not their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class TaskType:
    """One task type.

    Attributes:
        name: As clients write it; also the name of its Dagster job.
        summary: What it does, in one line.
        dataset: The declared dataset that filters and dates apply to.
        options: The model of its ``options``.
        role: The least role that may ask for it.
    """

    name: str
    summary: str
    dataset: str
    options: type[Options]
    role: Role = Role.USER
