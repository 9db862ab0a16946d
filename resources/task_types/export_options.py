"""The options that all exports share."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from resources.task_types.base import Options

MAX_COLUMNS = 1_000


class FileFormat(StrEnum):
    """The format of an export's files."""

    PARQUET = "parquet"
    CSV = "csv"


class Compression(StrEnum):
    """How an export's files are compressed."""

    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    NONE = "none"


# The first is the default.
COMPRESSIONS = {
    FileFormat.PARQUET: [Compression.ZSTD, Compression.SNAPPY, Compression.GZIP, Compression.NONE],
    FileFormat.CSV: [Compression.NONE, Compression.GZIP],
}


class Consistency(StrEnum):
    """What an attempt does that follows one which died."""

    SNAPSHOT = "snapshot"  # it starts over: all rows are of one snapshot
    RESUME = "resume"  # it goes on after the last finished part, in a snapshot of its own


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

    compression: Annotated[Compression, Field(strict=False)] | None = Field(
        default=None,
        description="Parquet: `zstd` (default), `snappy`, `gzip`, `none`; CSV: `none` (default), "
        "`gzip`",
    )

    consistency: Annotated[Consistency, Field(strict=False)] = Field(
        default=Consistency.SNAPSHOT,
        description="`snapshot`: all rows as of one moment; `resume`: an attempt that follows one "
        "that died goes on after its last finished file",
    )
    spreadsheet_safe: bool = Field(
        default=False,
        description="CSV: whether texts that a spreadsheet would take for formulas get an "
        "apostrophe in front",
    )

    def told(self) -> dict[str, Any]:
        """See `Options.told`; the format is told always."""
        return {"format": self.format.value} | super().told()

    @property
    def file_compression(self) -> Compression:
        """What is asked for, else the format's default."""
        return self.compression or COMPRESSIONS[self.format][0]

    @field_validator("compression")
    @classmethod
    def _fits_the_format(
        cls, compression: Compression | None, info: ValidationInfo
    ) -> Compression | None:
        fitting = COMPRESSIONS.get(info.data.get("format", ""), [])
        if compression is not None and fitting and compression not in fitting:
            raise PydanticCustomError(
                "invalid_value",
                "Files of this format should be compressed with one of: {fitting}",
                {"fitting": ", ".join(fitting)},
            )
        return compression

    @field_validator("spreadsheet_safe")
    @classmethod
    def _is_for_csv(cls, safe: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if safe and info.data.get("format") is FileFormat.PARQUET:
            raise PydanticCustomError(
                "invalid_value",
                "Parquet files keep texts as they are, and no spreadsheet takes them for formulas: "
                "leave spreadsheet_safe out, or ask for the format csv",
            )
        return safe

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: list[str] | None) -> list[str] | None:
        if columns is not None and len(set(columns)) < len(columns):
            raise PydanticCustomError("duplicate_column", "Names each column at most once")
        return columns
