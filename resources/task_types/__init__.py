"""The task types: what each is called, who may ask for it, which options it takes.

One module for each; `pipelines` has a module of the same name with its Dagster job.
"""

from collections.abc import Mapping

from resources.task_types import bookings_export
from resources.task_types.base import TaskType

REGISTRY: Mapping[str, TaskType] = {
    task_type.name: task_type for task_type in (bookings_export.TASK_TYPE,)
}
