"""``workers init``: a first ``datasets.toml``, by a look at a database."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
from sqlalchemy import URL

from resources.errors import SourceUnavailable, WorkersError
from resources.settings import Settings, with_driver
from resources.source.connection import connect_source
from resources.source.declarations import DATASETS
from resources.source.dialects import dialect_of
from resources.source.introspection.document import document
from resources.source.introspection.names import NOUNS
from resources.source.introspection.proposal import Proposal
from resources.source.introspection.survey import survey
from resources.source.introspection.tables import Relation
from workers.reports import counted, listed, place, printable, unavailable

# The longest that one look at the source may take; trying a key may read a whole table.
LOOK_SECONDS = 60
TO_STDOUT = "-"


class CannotGuess(WorkersError):
    """No file is written; the message says why, and what to do."""


def source_url(text: str) -> URL:
    """The URL of a source.

    Raises:
        CannotGuess: It is none. The message does not repeat it: it may hold a password.
    """
    try:
        url = with_driver(text)
        dialect_of(url)
    except (ValueError, KeyError) as error:
        msg = "--source is no URL of a source, such as postgresql://user:password@host/name."
        raise CannotGuess(msg) from error
    return url


def write_first_datasets(
    settings: Settings, source: str | None, output: str, *, force: bool
) -> None:
    """Guess the datasets of a source, say what was guessed, and write it.

    Args:
        settings: The service's settings.
        source: The URL of the source; None: that of the settings.
        output: The path to write to, or "-" for standard output.
        force: Whether a file that is there is replaced.

    Raises:
        CannotGuess: The file is there, cannot be written, or the source holds nothing to guess of.
    """
    url = settings.source if source is None else source_url(source)
    if output != TO_STDOUT:
        _check_output(Path(output), force=force)
    found, proposals = _survey(url)
    views = sum(each.is_view for each in found)
    has = counted(len(found) - views, "table") + (f", {counted(views, 'view')}" if views else "")
    _say(f"Looked at {place(url)}: {has}.")
    for name in DATASETS:
        _say(*(_told(proposals[name]) if name in proposals else _told_missing(name)))
    if zoneless := [name for name, each in proposals.items() if each.needs_zone]:
        _say(
            f'Nothing says in which zone times of {listed(zoneless)} are meant: time_zone = "UTC" '
            "is a guess. Correct it where it is wrong."
        )
    if output == TO_STDOUT:
        click.echo(document(proposals), nl=False)
        return
    _write(document(proposals), Path(output))
    needed = [] if url == settings.source else ["WORKERS_SOURCE_URL set to this database"]
    needed += [] if Path(output).absolute() == settings.datasets else [f"WORKERS_DATASETS={output}"]
    where = f" (with {' and '.join(needed)})" if needed else ""
    _say(f"Wrote {output}. Read it; `workers check`{where} says whether it fits.")


def _check_output(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        msg = f"{path} is there already: add --force to replace it, or name another with --output."
        raise CannotGuess(msg)
    if not path.parent.is_dir():
        msg = f"{path} cannot be written, for its folder does not exist: make it first."
        raise CannotGuess(msg)


def _survey(url: URL) -> tuple[Sequence[Relation], Mapping[str, Proposal]]:
    engine = connect_source(url, statement_timeout_seconds=LOOK_SECONDS)
    try:
        found, proposals = survey(engine)
    except SourceUnavailable as error:
        raise CannotGuess(unavailable(url, error)) from error
    finally:
        engine.dispose()
    if not found:
        msg = (
            f"There is no table in {place(url)} that its user may see: name the database that "
            "has some with --source, or WORKERS_SOURCE_URL."
        )
        raise CannotGuess(msg)
    if not proposals:
        names = listed([each.full_name for each in found])
        msg = (
            f"No table of {place(url)} has a name that says bookings, payments, users or "
            f"services. There are: {names}. Write datasets.toml by hand; docs/datasets.md "
            "explains each line."
        )
        raise CannotGuess(printable([msg]))
    return found, proposals


def _told_missing(dataset: str) -> Iterable[str]:
    yield f"{dataset}: no table has a name such as {listed(NOUNS[dataset][:4])}."


def _told(proposal: Proposal) -> Iterable[str]:
    others = [each.full_name for each in proposal.others]
    by_name = f"by its name; {listed(others)} would do as well" if others else "by its name"
    relation = proposal.relation
    kind = "view" if relation.is_view else "table"
    yield f"{proposal.dataset}: the {kind} {relation.full_name}, {by_name}"
    for passed, reason in proposal.passed_over:
        yield f"  passed over {passed.full_name}: {reason}"
    yield from (f"  NOT DECLARED, because {finding}" for finding in proposal.findings)
    if proposal.key.columns and not proposal.findings:
        yield f"  key {', '.join(proposal.key.columns)}: {proposal.key.reason}"
    if proposal.date_column is None:
        yield "  no date column: no column holds times that would serve"
    else:
        yield f"  date column {proposal.date_column.name}: {proposal.date_reason}"
    for reason in dict.fromkeys(each.reason for each in proposal.left_out):
        names = listed([each.name for each in proposal.left_out if each.reason == reason])
        yield f"  left out {names}: {reason}"
    for each in proposal.declared:
        what = f"as {each.declared.as_}" if each.declared.as_ else f"stored {each.declared.stored}"
        yield f"  {each.name} {what}: {each.reason}"
    if proposal.personal:
        names = listed([each.name for each in proposal.personal])
        yield f"  personal by name, yet exported in full: {names}; the file has masks to switch on"


def _write(text: str, path: Path) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): name another with --output."
        raise CannotGuess(msg) from error


def _say(*lines: str) -> None:
    click.echo(printable(lines), err=True)
