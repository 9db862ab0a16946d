"""The one mapping of run states to task statuses."""

from typing import Any, cast

import pytest
from dagster import DagsterRunStatus

from resources.engine.run_status import status_from_run
from resources.store.models import Status

EXPECTED = {
    "NOT_STARTED": Status.PENDING,
    "QUEUED": Status.PENDING,
    "MANAGED": Status.PENDING,
    "STARTING": Status.PENDING,
    "STARTED": Status.PROCESSING,
    "SUSPENDED": Status.PROCESSING,
    "CANCELING": None,
    "SUCCESS": Status.COMPLETED,
    "CANCELED": Status.CANCELLED,
    "FAILURE": Status.FAILED,
}


def test_every_state_that_dagster_has_is_mapped() -> None:
    assert {state.value for state in DagsterRunStatus} == EXPECTED.keys()


@pytest.mark.parametrize("before", [Status.PENDING, Status.PROCESSING])
@pytest.mark.parametrize("state", DagsterRunStatus)
def test_each_state_stands_for_its_status(state: DagsterRunStatus, before: Status) -> None:
    expected = EXPECTED[state.value] or before

    assert status_from_run(state, before, will_retry=False) is expected


def test_a_failure_that_will_be_retried_is_pending() -> None:
    status = status_from_run(DagsterRunStatus.FAILURE, Status.PROCESSING, will_retry=True)

    assert status is Status.PENDING


def test_a_state_of_a_newer_dagster_changes_nothing() -> None:
    unknown = cast("Any", "HIBERNATING")

    assert status_from_run(unknown, Status.PROCESSING, will_retry=False) is Status.PROCESSING
