"""``report_generation``: a report on the business in a window, to read and to forward."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from resources.errors import FieldError
from resources.task_types.base import Options, TaskType
from resources.timestamps import parse_rfc3339
from resources.zones import RequestedZone

if TYPE_CHECKING:
    from resources.requests import TaskRequest
    from resources.source.dataset import Dataset

# Ten years, with their leap days: charts of more have nothing to say.
MAX_WINDOW = timedelta(days=3_653)
# Nobody knows how the clocks will be set afterwards.
YEARS = range(1900, 2200)
# Whose rows happen in a window; those of the others are what they refer to.
HAPPENINGS = ("bookings", "payments")


class ReportPeriod(StrEnum):
    """What the last whole one of is reported on."""

    DAY = "day"
    WEEK = "week"  # from Monday
    MONTH = "month"


class ReportFormat(StrEnum):
    """The format of one of a report's files."""

    HTML = "html"
    XLSX = "xlsx"
    JSON = "json"


class ReportLocale(StrEnum):
    """The language of a report, with its way of writing numbers and dates."""

    EN = "en"
    RU = "ru"


DEFAULT_FORMATS = (ReportFormat.HTML, ReportFormat.XLSX)


class ReportOptions(Options):
    """``options`` of a report."""

    takes_filters: ClassVar[bool] = False

    period: Annotated[ReportPeriod, Field(strict=False)] | None = Field(
        default=None,
        description="`day`, `week` or `month`: the last whole one before the task was created; "
        "absent: from `date_from` to `date_to`",
    )
    timezone: RequestedZone = Field(
        default="UTC", description="IANA time zone of days and of the period, as `Europe/Berlin`"
    )
    formats: list[Annotated[ReportFormat, Field(strict=False)]] = Field(
        default_factory=lambda: list(DEFAULT_FORMATS),
        min_length=1,
        description="The files to make, of `html`, `xlsx`, `json`; absent: html and xlsx",
    )
    locale: Annotated[ReportLocale, Field(strict=False)] = Field(
        default=ReportLocale.EN, description="Language of the texts: `en` or `ru`"
    )

    def told(self) -> dict[str, Any]:
        """See `Options.told`; the formats and the locale are told always."""
        formats = [each.value for each in self.formats]
        return {"formats": formats, "locale": self.locale.value} | super().told()

    def errors(self, request: "TaskRequest", datasets: Sequence["Dataset"]) -> list[FieldError]:
        """See `Options.errors`."""
        found = self._window_errors(request)
        if not found and not any(has_window(each) for each in datasets):
            pointer = "/options/period" if self.period else "/date_from"
            detail = "Neither bookings nor payments have a date column: there are no periods."
            found.append(FieldError(pointer, "no_date_column", detail))
        if request.filters:
            detail = "A report is about all rows of its window: leave the filters out."
            found.append(FieldError("/filters", "filters_not_supported", detail))
        return found

    def _window_errors(self, request: "TaskRequest") -> list[FieldError]:
        dates = {"date_from": request.date_from, "date_to": request.date_to}
        missing = [name for name, value in dates.items() if value is None]
        if self.period is not None:
            detail = "Name either the period or the dates: options.period was given too."
            return [
                FieldError(f"/{name}", "period_and_dates", detail)
                for name in dates
                if name not in missing
            ]
        if len(missing) == len(dates):
            detail = "Say what to report on: a period, or date_from and date_to."
            return [FieldError("/options/period", "required", detail)]
        if missing:
            detail = "A report needs both date_from and date_to."
            return [FieldError(f"/{missing[0]}", "required", detail)]
        return self._length_errors(str(request.date_from), str(request.date_to))

    @staticmethod
    def _length_errors(date_from: str, date_to: str) -> list[FieldError]:
        first, last = parse_rfc3339(date_from), parse_rfc3339(date_to)
        outside = [
            FieldError(f"/{name}", "out_of_range", "Reports are on the years 1900 to 2199.")
            for name, instant in (("date_from", first), ("date_to", last))
            if instant.year not in YEARS
        ]
        if not outside and last - first > MAX_WINDOW:
            detail = "A report is on ten years at most."
            return [FieldError("/date_to", "window_too_long", detail)]
        return outside

    @field_validator("formats")
    @classmethod
    def _each_once(cls, formats: list[ReportFormat]) -> list[ReportFormat]:
        if len(set(formats)) < len(formats):
            raise PydanticCustomError("duplicate_format", "Names each format at most once")
        return formats


def has_window(dataset: "Dataset") -> bool:
    """Whether ``dataset`` has rows that happen in a window."""
    return dataset.name in HAPPENINGS and dataset.date_column is not None


TASK_TYPE = TaskType(
    name="report_generation",
    summary="Reports on bookings, revenue and users of a period, to read and to forward",
    asset=("insights", "report"),
    datasets=("bookings", "payments", "users", "services"),
    options=ReportOptions,
    example={"period": "month"},
)
