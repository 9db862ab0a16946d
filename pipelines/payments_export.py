"""The job of ``payments_export``."""

from pipelines.export_jobs import export_definitions
from resources.task_types.payments_export import TASK_TYPE

DEFINITIONS = export_definitions(TASK_TYPE)
"""The asset ``exports/payments``, its source table, and the job that makes it."""
