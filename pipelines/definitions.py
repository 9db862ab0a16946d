"""What Dagster loads: the definitions of every kind of job, merged."""

from dagster import Definitions, in_process_executor

from pipelines import bookings_export, payments_export, services_export, users_export

defs = Definitions.merge(
    # One process for each run: a step loops over its chunks, it needs no more of them.
    Definitions(executor=in_process_executor),
    bookings_export.DEFINITIONS,
    payments_export.DEFINITIONS,
    users_export.DEFINITIONS,
    services_export.DEFINITIONS,
)
