"""Task types as Dagster shows them: for each an asset, below what it is made of, and a job."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    Definitions,
    MaterializeResult,
    asset,
    define_asset_job,
    in_process_executor,
)

from pipelines.jobs import Work, config_model, run_task
from pipelines.source_assets import DATASET_TAG, owners_of, source_key
from resources.engine.names import TASK_TYPE_TAG, asset_path, run_config
from resources.requests import example_parameters
from resources.task_types.base import TaskType


def asset_key(task_type: TaskType) -> AssetKey:
    """The key of the asset that the job of ``task_type`` makes."""
    return AssetKey(asset_path(task_type.name))


@dataclass(frozen=True)
class TaskAsset:
    """A task type as Dagster is to show it.

    Attributes:
        task_type: The task type.
        work: Does a task of it.
        about: What it does, and what running it again does.
        kinds: What it is made with and of, as Dagster's UI marks it.
        owners: Who answers for it.
        besides: What it is made of besides the source's tables.
        checks: What is checked of it; `work` gives the results with its materialization.
    """

    task_type: TaskType
    work: Work
    about: str
    kinds: Collection[str]
    owners: Sequence[str] = ()
    besides: Sequence[AssetKey] = ()
    checks: Sequence[AssetCheckSpec] = ()

    def definitions(self) -> Definitions:
        """The asset, and the job that makes it."""
        job = define_asset_job(
            self.task_type.name,
            selection=[asset_key(self.task_type)],
            description=self.about,
            # What the launchpad begins with. Any other config takes its place as a whole.
            config=run_config(self.task_type.name, example_parameters(self.task_type)),
            tags=self._tags(),
            executor_def=in_process_executor,
        )
        return Definitions(assets=[self._asset()], jobs=[job])

    def _tags(self) -> dict[str, str]:
        datasets = self.task_type.datasets
        dataset = {DATASET_TAG: datasets[0]} if len(datasets) == 1 else {}
        return {**dataset, TASK_TYPE_TAG: self.task_type.name}

    def _owners(self) -> list[str]:
        """Who is said to answer for it; else who answers for what it is made of."""
        of_datasets = (owner for each in self.task_type.datasets for owner in owners_of(each))
        return list(dict.fromkeys(self.owners or of_datasets))

    def _asset(self) -> AssetsDefinition:
        task_type, work = self.task_type, self.work
        parameters = config_model(task_type)

        @asset(
            key=asset_key(task_type),
            deps=[*map(source_key, task_type.datasets), *self.besides],
            description=self.about,
            group_name=task_type.asset[0],
            kinds=set(self.kinds),
            tags=self._tags(),
            owners=self._owners(),
            check_specs=self.checks,
            metadata={"task type": task_type.name, "role that may ask": task_type.role.value},
        )
        def made(context: AssetExecutionContext, config: parameters) -> MaterializeResult:  # type: ignore[valid-type, type-arg]
            return run_task(task_type, context, config, work)

        return made
