"""``services_export``: services to Parquet or CSV."""

from resources.task_types.base import TaskType
from resources.task_types.export_options import ExportOptions

TASK_TYPE = TaskType(
    name="services_export",
    summary="Exports services to Parquet or CSV",
    asset=("exports", "services"),
    datasets=("services",),
    options=ExportOptions,
)
