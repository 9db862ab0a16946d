"""The execution plans of the code location's jobs."""

from dagster import DagsterInstance
from dagster._core.remote_representation.code_location import CodeLocation, GrpcServerCodeLocation
from dagster._core.remote_representation.external import RemoteJob
from dagster._core.snap import ExecutionPlanSnapshot


class Plans:
    """Asks a code server for each job's plan once, as long as it is the same server.

    A plan says which steps there are. That does not depend on the run config, which the run
    itself checks, and asking takes the code server longer than all else that a hand-over needs.
    """

    def __init__(self) -> None:
        self._server_id = ""
        self._plans: dict[str, ExecutionPlanSnapshot] = {}

    def plan(
        self, instance: DagsterInstance, location: CodeLocation, job: RemoteJob
    ) -> ExecutionPlanSnapshot:
        """The plan of ``job``, with the defaults of its config.

        Raises:
            DagsterUserCodeUnreachableError: The code server does not answer.
        """
        server_id = location.server_id if isinstance(location, GrpcServerCodeLocation) else ""
        if server_id != self._server_id:
            self._server_id, self._plans = server_id, {}
        if job.name not in self._plans:
            self._plans[job.name] = location.get_execution_plan(
                job, {}, step_keys_to_execute=None, known_state=None, instance=instance
            ).execution_plan_snapshot
        return self._plans[job.name]
