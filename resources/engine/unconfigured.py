"""What dagster.yaml says of our classes: their names, and nothing else."""

from collections.abc import Mapping
from typing import Any, Self

from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData


class Unconfigured:
    """A class at one of Dagster's extension points that takes no configuration from Dagster.

    It is made from ``inst_data`` alone: `Settings` says everything.
    """

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """None."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, _config_value: Mapping[str, Any]
    ) -> Self:
        """As Dagster makes it."""
        return cls(inst_data=inst_data)  # type: ignore[call-arg]
