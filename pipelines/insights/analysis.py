"""An analysis: everything that is told of the datasets in a window, and the files it goes into."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from pipelines.insights.business import business_figures
from pipelines.insights.calendar import calendar_of
from pipelines.insights.documents import VERSION, AnalysisDocument
from pipelines.insights.figures import Business, LeftOut
from pipelines.insights.profiles import Profile, profiles
from pipelines.insights.series import Series, series_of
from pipelines.insights.workspace import Workspace
from resources.requests import TaskRequest
from resources.source.declarations import ROLES
from resources.timestamps import to_rfc3339


@dataclass(frozen=True)
class Analysis:
    """What an analysis came to.

    Attributes:
        request: What was asked for.
        workspace: What it is of.
        business: The figures of all datasets together.
        series: Of each dataset, by its name.
        columns: Likewise its columns.
        left_out: What cannot be told.
    """

    request: TaskRequest
    workspace: Workspace
    business: Business
    series: Mapping[str, Series]
    columns: Mapping[str, Sequence[Profile]]
    left_out: Sequence[LeftOut]

    def document(self) -> AnalysisDocument:
        """As it is written into ``analysis.json``."""
        business = _plain(asdict(self.business))
        return AnalysisDocument.model_validate(
            {
                "version": VERSION,
                "window": {
                    "date_from": self.request.date_from,
                    "date_to": self.request.date_to,
                    "timezone": self.business.window.zone,
                },
                "taken_at": to_rfc3339(self.workspace.taken_at),
                "rows": self.workspace.rows,
                "datasets": {name: self._dataset(name) for name in self.workspace.loaded},
                "business": {
                    name: business[name]
                    for name in (
                        *("headline", "days", "weeks", "months"),
                        *("services", "methods", "statuses"),
                    )
                },
                "findings": business["findings"],
                "left_out": [asdict(each) for each in self.left_out],
            }
        )

    def content(self) -> bytes:
        """``analysis.json``."""
        document = self.document().model_dump(mode="json")
        return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False).encode()

    def _dataset(self, name: str) -> dict[str, Any]:
        series = self.series[name]
        periods = {
            f"{unit}s": [
                {
                    "start": each.start.isoformat(),
                    "rows": each.rows,
                    "growth": each.growth,
                    "partial": each.is_partial,
                }
                for each in some
            ]
            for unit, some in series.periods.items()
        }
        statuses = series.statuses
        return {
            "rows": self.workspace.loaded[name].rows,
            **({"days": [], "weeks": [], "months": []} | periods),
            "statuses": None if statuses is None else [asdict(each) for each in statuses],
            "columns": [asdict(each) for each in self.columns[name]],
        }


def analyse(workspace: Workspace, request: TaskRequest) -> Analysis:
    """Everything there is to tell of what was loaded.

    Raises:
        AttemptSuperseded: The run must stop.
        TaskFailed: There is no room to work in (``storage_unavailable``), or a value is beyond
            what can be reckoned with (``value_not_measurable``).
    """
    business = business_figures(workspace, workspace.window)
    calendar = calendar_of(workspace, workspace.window)
    series, columns = {}, {}
    left_out = list(business.left_out)
    for name, loaded in workspace.loaded.items():
        series[name] = series_of(workspace.duck, loaded, calendar)
        found = list(profiles(workspace.duck, loaded))
        columns[name] = [each for each in found if isinstance(each, Profile)]
        left_out += [each for each in found if isinstance(each, LeftOut)]
        needs = {"periods": f"{name}.date_column"}
        if "status" in ROLES[name]:
            needs["statuses"] = f"{name}.roles.status"
        left_out += [
            LeftOut(f"datasets.{name}.{figure}", missing)
            for figure, need in needs.items()
            if (missing := workspace.needs.missing(need)) is not None
        ]
    return Analysis(request, workspace, business, series, columns, list(dict.fromkeys(left_out)))


def _plain(value: Any) -> Any:
    """``value`` with texts for decimals and dates."""
    match value:
        case Decimal():
            return f"{value:f}"
        case date():
            return value.isoformat()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value
