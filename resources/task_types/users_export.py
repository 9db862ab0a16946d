"""``users_export``: users to Parquet or CSV."""

from resources.task_types.base import TaskType
from resources.task_types.export_options import ExportOptions

TASK_TYPE = TaskType(
    name="users_export",
    summary="Exports users to Parquet or CSV",
    asset=("exports", "users"),
    datasets=("users",),
    options=ExportOptions,
)
