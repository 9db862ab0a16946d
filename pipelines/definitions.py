"""What Dagster loads: the definitions of every kind of job, merged."""

from dagster import Definitions, in_process_executor

from pipelines import (
    bookings_export,
    data_analysis,
    data_cleanup,
    payments_export,
    report_generation,
    services_export,
    users_export,
)
from pipelines.schedules import schedule_definitions
from pipelines.source_assets import source_definitions

defs = Definitions.merge(
    # One process for each run: a step loops over its chunks, it needs no more of them.
    Definitions(executor=in_process_executor),
    source_definitions(),
    bookings_export.DEFINITIONS,
    payments_export.DEFINITIONS,
    users_export.DEFINITIONS,
    services_export.DEFINITIONS,
    data_analysis.DEFINITIONS,
    data_cleanup.DEFINITIONS,
    report_generation.DEFINITIONS,
    schedule_definitions(),
)
