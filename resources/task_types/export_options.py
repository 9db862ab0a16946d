"""The options that all exports share."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from resources.task_types.base import Options

MAX_COLUMNS = 1_000


class FileFormat(StrEnum):
    """The format of an export's files."""

    PARQUET = "parquet"
    CSV = "csv"


class ExportOptions(Options):
    """``options`` of an export."""

    format: Annotated[FileFormat, Field(strict=False)] = Field(
        default=FileFormat.PARQUET, description="File format: `parquet` or `csv`"
    )
    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_COLUMNS,
        description="The columns to export, in this order; absent: all",
    )

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: list[str] | None) -> list[str] | None:
        if columns is not None and len(set(columns)) < len(columns):
            raise PydanticCustomError("duplicate_column", "Names each column at most once")
        return columns
