"""What a task type declares."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from resources.store.models import Role


class Options(BaseModel):
    """Base of every type's ``options``: strict, and nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

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
