"""The job of ``report_generation``: the figures of two windows of one snapshot, made into files."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagster import AssetKey, MaterializeResult

from pipelines.assets import TaskAsset
from pipelines.assignments import Assignment
from pipelines.insights.business import business_figures
from pipelines.insights.figures import Business, LeftOut, Window
from pipelines.insights.values import values_told
from pipelines.insights.windows import requested_window
from pipelines.insights.workspace import workspace
from pipelines.publishing import manifest_of, publish, store_file, writing_result
from pipelines.report import document, html, workbook
from pipelines.report.content import Origin, report_of
from pipelines.report.model import Report
from pipelines.report.periods import last_whole, previous
from pipelines.report.texts import Texts
from resources.requests import chosen_datasets
from resources.results import ResultFile
from resources.source.dataset import Dataset
from resources.task_types.report_generation import (
    HAPPENINGS,
    TASK_TYPE,
    ReportFormat,
    ReportOptions,
    has_window,
)
from resources.timestamps import now, to_rfc3339

_ANALYSIS = AssetKey(["insights", "analysis"])


@dataclass(frozen=True)
class _Format:
    """How a report becomes one file."""

    media_type: str
    make: Callable[[Report, Texts], bytes]


_FORMATS: Mapping[ReportFormat, _Format] = {
    ReportFormat.HTML: _Format(html.MEDIA_TYPE, html.to_html),
    ReportFormat.XLSX: _Format(workbook.MEDIA_TYPE, workbook.to_workbook),
    ReportFormat.JSON: _Format(document.MEDIA_TYPE, lambda report, _: document.to_document(report)),
}


def run_report(assignment: Assignment) -> MaterializeResult[Any]:
    """Make the report that the assignment asks for, and publish it."""
    started = time.monotonic()
    asked = ReportOptions.model_validate(assignment.request.options)
    with writing_result(assignment.folder):
        assignment.folder.create()
        with values_told():
            report, rows = _read(assignment, asked)
            files = list(_files(assignment, asked, report))
        manifest = manifest_of(
            assignment.request,
            files,
            rows=rows,
            snapshots=[_snapshot(report, rows, files)],
            window=_bounds(report.window),
            compared_with=_bounds(report.before),
        )
        assignment.folder.write_manifest(manifest)
    publish(manifest, assignment.folder, assignment.attempt)
    return MaterializeResult(metadata=_metadata(report, manifest, time.monotonic() - started))


def _read(assignment: Assignment, asked: ReportOptions) -> tuple[Report, int]:
    """The report, and how many rows of the source it was made of."""
    window = _window(assignment, asked)
    before = previous(window)
    datasets = chosen_datasets(assignment.request, assignment.catalog)
    loaded = [each for each in datasets if has_window(each) or each.name not in HAPPENINGS]
    both = Window(before.start, window.end, window.zone)
    with workspace(assignment, loaded, both) as loading:
        current, earlier = (
            _without_dates(business_figures(loading, each), datasets) for each in (window, before)
        )
        origin = Origin(assignment.task.id, asked.period, now(), loading.taken_at)
        return report_of(current, earlier, origin), loading.rows


def _window(assignment: Assignment, asked: ReportOptions) -> Window:
    if asked.period is None:
        return requested_window(assignment.request, asked.timezone)
    return last_whole(asked.period, assignment.task.created_at, asked.timezone)


def _without_dates(business: Business, datasets: Sequence[Dataset]) -> Business:
    """Say what is really missing of datasets that are not loaded because they have no dates."""
    dateless = {each.name for each in datasets if each.date_column is None}
    told = [
        LeftOut(each.figure, f"{each.missing}.date_column") if each.missing in dateless else each
        for each in business.left_out
    ]
    return replace(business, left_out=told)


def _files(assignment: Assignment, asked: ReportOptions, report: Report) -> Iterator[ResultFile]:
    texts = Texts(asked.locale)
    for each in asked.formats:
        assignment.control.raise_if_stopped()
        made = _FORMATS[each]
        content = made.make(report, texts)
        name = f"report.{each.value}"
        yield store_file(assignment.folder, name, content, media_type=made.media_type)


def _snapshot(report: Report, rows: int, files: Sequence[ResultFile]) -> dict[str, Any]:
    names = [file.name for file in files]
    return {"taken_at": to_rfc3339(report.snapshot_at), "rows": rows, "files": names}


def _bounds(span: Any) -> dict[str, str]:
    """A window as the manifest tells it; its end does not belong to it."""
    start, end = to_rfc3339(span.start), to_rfc3339(span.end)
    return {"start": start, "end": end, "timezone": span.zone}


def _metadata(report: Report, manifest: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    bookings = report.figure("bookings").now
    return {
        "rows": manifest["rows"],
        "bytes": manifest["bytes"],
        "findings": len(report.findings),
        "seconds": round(seconds, 3),
        **({} if bookings is None else {"bookings": int(bookings)}),
        **{
            f"revenue {figure.currency}".strip(): float(figure.now)
            for figure in report.figures
            if figure.name == "revenue" and figure.now is not None
        },
    }


DEFINITIONS = TaskAsset(
    TASK_TYPE,
    run_report,
    about=(
        f"{TASK_TYPE.summary}: a page, a workbook, and JSON. It makes its figures with the code of "
        "the analysis, of the source tables as they are in the same run; it reads no analysis that "
        "was made before. Running it again reports on the same period as the source is then."
    ),
    kinds={"duckdb", "html", "excel"},
    besides=[_ANALYSIS],
).definitions()
"""The asset ``insights/report``, below the source's tables and the analysis, and its job."""
