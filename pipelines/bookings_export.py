"""The job of ``bookings_export``."""

from pipelines.export_jobs import export_definitions
from resources.task_types.bookings_export import TASK_TYPE

DEFINITIONS = export_definitions(TASK_TYPE)
"""The asset ``exports/bookings``, its source table, and the job that makes it."""
