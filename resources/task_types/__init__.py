"""The task types: what each is called, who may ask for it, which options it takes.

One module for each; `pipelines` has a module of the same name with its Dagster job.
"""

from collections.abc import Mapping

from resources.task_types import (
    bookings_export,
    data_analysis,
    data_cleanup,
    payments_export,
    report_generation,
    services_export,
    users_export,
)
from resources.task_types.base import TaskType

REGISTRY: Mapping[str, TaskType] = {
    module.TASK_TYPE.name: module.TASK_TYPE
    for module in (
        bookings_export,
        payments_export,
        users_export,
        services_export,
        data_analysis,
        data_cleanup,
        report_generation,
    )
}
