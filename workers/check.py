"""``workers check``: what of what is declared fits the source, and what does not."""

from dataclasses import dataclass, field
from pathlib import Path

import click
from sqlalchemy import URL, Engine

from resources.errors import DeclarationError, InvalidRequest, SourceUnavailable
from resources.requests import parse_request
from resources.schedules.declarations import Declared, Schedule, pointer_path, read_schedules
from resources.source.catalog import Catalog
from resources.source.connection import connect_source, snapshot
from resources.source.dataset import Dataset, look_up
from resources.source.declarations import DATASETS, Declaration, read_declarations
from resources.source.indexes import slow_reads
from resources.timestamps import now
from workers.reports import counted, listed, printable, unavailable


@dataclass
class Checked:
    """What came of a check.

    Attributes:
        findings: What does not fit, in one line each.
        datasets: What will be exported.
        warnings: What works, slowly.
        undeclared: The datasets that nothing is declared of.
        schedules: Which tasks the clock will submit.
        off: What does not fit of schedules that are off by default: nothing comes of it.
    """

    findings: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)


def check_datasets(path: Path, url: URL, timeout_seconds: int) -> Checked:
    """Hold the declarations in the file ``path`` against the source at ``url``.

    Args:
        path: The file.
        url: The source.
        timeout_seconds: The longest that one query may take: trying a key reads a whole table.

    Raises:
        DeclarationError: The file cannot be read, or is no TOML.
        SourceUnavailable: The source does not answer.
    """
    declarations, unusable = read_declarations(path)
    checked = Checked(
        findings=[line for lines in unusable.values() for line in lines],
        undeclared=[name for name in DATASETS if name not in {*declarations, *unusable}],
    )
    engine = connect_source(url, statement_timeout_seconds=timeout_seconds)
    try:
        for name, declaration in declarations.items():
            try:
                _check(engine, name, declaration, checked)
            except DeclarationError as error:
                checked.findings += [f"{path.name}: {line}" for line in str(error).splitlines()]
    except SourceUnavailable as error:
        raise SourceUnavailable(unavailable(url, error)) from error
    finally:
        engine.dispose()
    return checked


def _check(engine: Engine, name: str, declaration: Declaration, checked: Checked) -> None:
    with snapshot(engine) as connection:
        dataset = look_up(connection, name, declaration, check_key=True)
    checked.datasets.append(_summary(dataset, declaration))
    with snapshot(engine) as connection:
        slow = slow_reads(connection, dataset, of_window=True)
    checked.warnings += [f"{name}: {each}" for each in slow]


def _summary(dataset: Dataset, declaration: Declaration) -> str:
    columns = counted(len(dataset.columns), "column")
    parts = [f"{dataset.name}: {declaration.full_name}, {columns}, key {', '.join(dataset.key)}"]
    if dataset.date_column is None:
        parts.append("no date column, so no windows")
    else:
        parts.append(f"dates by {dataset.date_column.name}")
    masked = [f"{each.name} ({each.mask.value})" for each in dataset.columns.values() if each.mask]
    if masked:
        parts.append(f"masked {listed(masked)}")
    if declaration.leave_out:
        parts.append(f"left out {listed(declaration.leave_out)}")
    return "; ".join(parts)


def check_schedules(schedules: Path, datasets: Path, url: URL, timeout_seconds: int) -> Checked:
    """Hold the schedules in a file against the source at ``url``, as a POST of their tasks would.

    Args:
        schedules: The file.
        datasets: That with the declarations of the datasets.
        url: The source.
        timeout_seconds: The longest that one query may take.

    Raises:
        DeclarationError: The datasets' file cannot be read, or is no TOML.
        SourceUnavailable: The source does not answer.
    """
    declared = read_schedules(schedules)
    checked = Checked(findings=[*declared.findings])
    engine = connect_source(url, statement_timeout_seconds=timeout_seconds)
    catalog = Catalog(engine, read_declarations(datasets)[0], check_keys=False)
    try:
        for schedule in declared.schedules.values():
            _check_schedule(declared, schedule, catalog, checked)
    except SourceUnavailable as error:
        raise SourceUnavailable(unavailable(url, error)) from error
    finally:
        engine.dispose()
    return checked


def _check_schedule(
    declared: Declared, schedule: Schedule, catalog: Catalog, checked: Checked
) -> None:
    misfits = checked.findings if schedule.enabled else checked.off
    try:
        parse_request(schedule.request_at(now()) or schedule.body, catalog)
    except InvalidRequest as error:
        misfits += [
            declared.finding((schedule.name, *pointer_path(each)), each.detail.removesuffix("."))
            for each in error.errors
        ]
    except DeclarationError:
        said = "its dataset is not declared, or not as the source has it, so its tasks would fail"
        misfits.append(declared.finding((schedule.name, "task_type"), said))
    else:
        about = f", window {schedule.window}" if schedule.window else ""
        checked.schedules.append(
            f"{schedule.name}: {schedule.task_type} at {schedule.cron} ({schedule.time_zone})"
            f"{about}, for {schedule.owner}{'' if schedule.enabled else '; off by default'}"
        )


def tell(checked: Checked) -> None:
    """Print what came of a check, the findings last: there they are seen."""
    lines = [f"ok      {each}" for each in [*checked.datasets, *checked.schedules]]
    lines += [f"slow    {each}" for each in checked.warnings]
    lines += [f"absent  {each}: not declared, so not exported" for each in checked.undeclared]
    lines += [f"off     {each}" for each in checked.off]
    lines += [f"wrong   {each}" for each in checked.findings]
    click.echo(printable(lines))
