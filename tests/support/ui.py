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

    def re_execute(self, run_id: str) -> str:
        """Run again from the start; the new run's id."""
        answer = self.ask(RE_EXECUTE, params={"parentRunId": run_id, "strategy": "ALL_STEPS"})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch(self, config: dict[str, Any]) -> str:
        """Launch the job from the launchpad; the run's id."""
        selector = {
            "repositoryLocationName": "workers",
            "repositoryName": "__repository__",
            "jobName": "bookings_export",
        }
        return self._launch({"selector": selector, "runConfigData": config})

    def materialize(self, *assets: str) -> str:
        """Materialize exports in the asset graph, all in one run; the run's id."""
        selector = {
            "repositoryLocationName": "workers",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["exports", asset]} for asset in assets],
        }
        return self._launch({"selector": selector})

    def _launch(self, params: dict[str, Any]) -> str:
        answer = self.ask(LAUNCH, params=params)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])
