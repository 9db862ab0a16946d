"""Dagster's run queue with this service's limits."""

from typing import Any

from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._serdes import ConfigurableClassData

from resources.engine.names import OWNER_TAG, TASK_TYPE_TAG
from resources.engine.unconfigured import Unconfigured
from resources.settings import load_settings

# While the code server is away its runs go back to the queue, again and again; stock gives up at
# once and fails every queued run.
CODE_SERVER_RETRIES = 100_000
CODE_SERVER_RETRY_SECONDS = 1
# The queue's daemon is woken by events; this is for what no event tells of.
FALLBACK_INTERVAL_SECONDS = 5


class WorkersRunCoordinator(Unconfigured, QueuedRunCoordinator[Any]):
    """Queues runs; so many run at once of all, of one owner, and of a task type."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        settings = load_settings()
        super().__init__(
            max_concurrent_runs=settings.slots,
            tag_concurrency_limits=[
                {
                    "key": OWNER_TAG,
                    "value": {"applyLimitPerUniqueValue": True},
                    "limit": settings.slots_per_owner,
                },
                *(
                    {"key": TASK_TYPE_TAG, "value": task_type, "limit": limit}
                    for task_type, limit in settings.type_slots.items()
                ),
            ],
            dequeue_interval_seconds=FALLBACK_INTERVAL_SECONDS,
            max_user_code_failure_retries=CODE_SERVER_RETRIES,
            user_code_failure_retry_delay=CODE_SERVER_RETRY_SECONDS,
            block_op_concurrency_limited_runs={"enabled": False},
            inst_data=inst_data,
        )
