"""Dagster's web server, asked as its UI asks it."""

from typing import Any

import httpx

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
RUN = """
query($id: ID!) {
  runOrError(runId: $id) {
    ... on Run {
      status
      eventConnection { events { ... on ExecutionStepFailureEvent { failureMetadata {
        description } } } }
    }
  }
}"""
EVENTS = """
query($id: ID!) {
  runOrError(runId: $id) { ... on Run { eventConnection { events { __typename } } } }
}"""
MESSAGES = """
query($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { eventConnection { events { ... on MessageEvent { level message } } } }
  }
}"""
TERMINATE = """
mutation($id: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $id, terminatePolicy: $policy) { __typename }
}"""
DELETE = "mutation($id: String!) { deletePipelineRun(runId: $id) { __typename } }"
RE_EXECUTE = """
mutation($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""

BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
CANCEL_BACKFILL = """
mutation($id: String!) {
  cancelPartitionBackfill(backfillId: $id) {
    __typename ... on PythonError { message }
  }
}"""
BACKFILL_STATUS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status runs(limit: 100) { runId } }
    ... on PythonError { message }
  }
}"""
# As the launchpad asks when it is opened.
LAUNCHPAD = """
query($pipelineName: String!, $repositoryName: String!, $repositoryLocationName: String!) {
  pipelineOrError(params: {
    pipelineName: $pipelineName
    repositoryName: $repositoryName
    repositoryLocationName: $repositoryLocationName
  }) {
    ... on Pipeline { presets { name runConfigYaml } }
  }
}"""
ASSET = """
query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      groupName description jobNames kinds
      owners { ... on TeamAssetOwner { team } ... on UserAssetOwner { email } }
      assetChecksOrError { ... on AssetChecks { checks {
        name description
        executionForLatestMaterialization {
          runId status evaluation { severity description }
        }
      } } }
      assetMaterializations(limit: 1) {
        runId
        metadataEntries {
          label
          ... on IntMetadataEntry { intValue }
          ... on FloatMetadataEntry { floatValue }
          ... on TextMetadataEntry { text }
          ... on TableColumnLineageMetadataEntry {
            lineage { columnName columnDeps { assetKey { path } columnName } }
          }
          ... on TableSchemaMetadataEntry { schema { columns { name type description } } }
        }
      }
    }
  }
}"""
REPOSITORY = {"repositoryLocationName": "workers", "repositoryName": "__repository__"}

SCHEDULES = """
query {
  schedulesOrError(repositorySelector: {
    repositoryLocationName: "workers", repositoryName: "__repository__"
  }) {
    ... on Schedules { results {
      name description cronSchedule executionTimezone defaultStatus
      tags { key value }
      scheduleState {
        id status ticks(limit: 5) { status timestamp runIds error { message } }
      }
    } }
  }
}"""
TEST_SCHEDULE = """
mutation($selector: ScheduleSelector!, $at: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $at) {
    __typename ... on DryRunInstigationTick { evaluationResult {
      runRequests { runConfigYaml tags { key value } } error { message }
    } }
  }
}"""
START_SCHEDULE = """
mutation($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
  __typename ... on PythonError { message } } }"""
STOP_SCHEDULE = """
mutation($id: String!) { stopRunningSchedule(id: $id) {
  __typename ... on PythonError { message } } }"""
TAGS = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }"""


class Ui:
    """The GraphQL endpoint at ``url``."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self._url = url
        self._http = http

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one field of a mutation's answer."""
        answer = self._http.post(self._url, json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        (field,) = answer["data"].values()
        return dict(field)

    def status(self, run_id: str) -> str | None:
        """The run's state; None: there is no such run."""
        return self.ask(RUN, id=run_id).get("status")

    def has_event(self, run_id: str, kind: str) -> bool:
        """Whether the run's log has an event of that GraphQL type."""
        events = self.ask(EVENTS, id=run_id)["eventConnection"]["events"]
        return kind in {each["__typename"] for each in events}

    def warnings(self, run_id: str) -> list[str]:
        """The warnings in the run's log."""
        return [each["message"] for each in self._messages(run_id) if each["level"] == "WARNING"]

    def messages(self, run_id: str) -> list[str]:
        """Every message in the run's log."""
        return [each["message"] for each in self._messages(run_id)]

    def _messages(self, run_id: str) -> list[dict[str, str]]:
        events = self.ask(MESSAGES, id=run_id)["eventConnection"]["events"]
        return [each for each in events if "message" in each]

    def tags(self, run_id: str) -> dict[str, str]:
        """The run's tags."""
        return {each["key"]: each["value"] for each in self.ask(TAGS, id=run_id)["tags"]}

    def schedules(self) -> dict[str, dict[str, Any]]:
        """The schedules, by name."""
        return {each["name"]: each for each in self.ask(SCHEDULES)["results"]}

    def test_schedule(self, name: str, at: float) -> dict[str, Any]:
        """What a tick of the schedule at the time ``at`` would do."""
        answer = self.ask(TEST_SCHEDULE, selector=_schedule(name), at=at)
        assert answer["__typename"] == "DryRunInstigationTick", answer
        return dict(answer["evaluationResult"])

    def switch_on(self, name: str) -> None:
        """Switch a schedule on."""
        answer = self.ask(START_SCHEDULE, selector=_schedule(name))
        assert answer["__typename"] == "ScheduleStateResult", answer

    def switch_off(self, name: str) -> None:
        """Switch a schedule off."""
        answer = self.ask(STOP_SCHEDULE, id=self.schedules()[name]["scheduleState"]["id"])
        assert answer["__typename"] == "ScheduleStateResult", answer

    def re_execute(self, run_id: str, strategy: str = "ALL_STEPS") -> str:
        """Run again, from the start where nothing else is said; the new run's id."""
        answer = self.ask(RE_EXECUTE, params={"parentRunId": run_id, "strategy": strategy})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launchpad(self, job: str) -> str:
        """What the job's launchpad begins with, in YAML."""
        answer = self.ask(LAUNCHPAD, pipelineName=job, **REPOSITORY)
        (preset,) = answer["presets"]
        return str(preset["runConfigYaml"])

    def asset(self, *path: str) -> dict[str, Any]:
        """An asset, with its last materialization and the checks of that."""
        return self.ask(ASSET, key={"path": path})

    def launch(self, config: dict[str, Any] | str, job: str = "bookings_export") -> str:
        """Launch the job from the launchpad, with a config or its YAML; the run's id."""
        selector = {**REPOSITORY, "jobName": job}
        return self._launch({"selector": selector, "runConfigData": config})

    def materialize(self, *assets: str) -> str:
        """Materialize exports in the asset graph, all in one run; the run's id."""
        selector = {
            **REPOSITORY,
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["exports", asset]} for asset in assets],
        }
        return self._launch({"selector": selector})

    def backfill(self, *assets: str) -> str:
        """Backfill all there is of exports; the backfill's id."""
        selection = [{"path": ["exports", asset]} for asset in assets]
        params = {"assetSelection": selection, "allPartitions": True}
        answer = self.ask(BACKFILL, params=params)
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def backfill_status(self, backfill_id: str) -> tuple[str, list[str]]:
        """A backfill's state, and the ids of its runs."""
        answer = self.ask(BACKFILL_STATUS, id=backfill_id)
        return str(answer["status"]), [str(run["runId"]) for run in answer["runs"]]

    def _launch(self, params: dict[str, Any]) -> str:
        answer = self.ask(LAUNCH, params=params)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])


def _schedule(name: str) -> dict[str, str]:
    return {
        "repositoryLocationName": "workers",
        "repositoryName": "__repository__",
        "scheduleName": name,
    }
