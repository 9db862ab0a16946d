"""The job of ``services_export``."""

from pipelines.export_jobs import export_definitions
from resources.task_types.services_export import TASK_TYPE

DEFINITIONS = export_definitions(TASK_TYPE)
"""The asset ``exports/services``, its source table, and the job that makes it."""
