"""``bookings_export``: bookings to Parquet or CSV."""

from resources.task_types.base import TaskType
from resources.task_types.export_options import ExportOptions

TASK_TYPE = TaskType(
    name="bookings_export",
    summary="Exports bookings to Parquet or CSV",
    asset=("exports", "bookings"),
    datasets=("bookings",),
    options=ExportOptions,
)
