"""What Dagster loads: the definitions of every kind of job, merged."""

from dagster import Definitions, in_process_executor

from pipelines import bookings_export

defs = Definitions.merge(
    # One process for each run: a step loops over its chunks, it needs no more of them.
    Definitions(executor=in_process_executor),
    bookings_export.DEFINITIONS,
)
