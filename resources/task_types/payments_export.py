"""``payments_export``: payments to Parquet or CSV."""

from resources.task_types.base import TaskType
from resources.task_types.export_options import ExportOptions

TASK_TYPE = TaskType(
    name="payments_export",
    summary="Exports payments to Parquet or CSV",
    asset=("exports", "payments"),
    datasets=("payments",),
    options=ExportOptions,
)
