"""What is proposed for one dataset, tried on the source before it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, NoSuchTableError, UnreflectableTableError

from resources.errors import DeclarationError
from resources.source.columns import TEMPORAL_KINDS, Column, Kind, Storage
from resources.source.connection import snapshot
from resources.source.dataset import look_up
from resources.source.declarations import Declaration
from resources.source.dialects import dialect_of
from resources.source.dialects.base import Reflected
from resources.source.introspection.keys import Key, possible_keys
from resources.source.introspection.names import TIME_REASONS, time_rank
from resources.source.introspection.readings import PLAIN, Reading, read_columns
from resources.source.introspection.samples import Samples
from resources.source.introspection.tables import Relation

# Each try may read a whole table.
MAX_KEY_TRIES = 5
MAX_TABLE_TRIES = 3


@dataclass(frozen=True)
class RoleGuess:
    """Which column most likely has a role, and why."""

    role: str
    column: str
    reason: str


@dataclass(frozen=True)
class MeaningGuess:
    """Which values of the status most likely mean something."""

    meaning: str
    values: Sequence[str]


@dataclass(frozen=True)
class Proposal:
    """What is proposed for one dataset.

    Attributes:
        dataset: Its name.
        relation: The table.
        others: Other tables whose names would do.
        passed_over: Those that come before it by their names, each with why it does not do.
        roles: What columns most likely stand for.
        meanings: What values of the status most likely mean.
        key: What tells rows apart.
        readings: How each column is declared.
        date_column: What windows apply to; None: no column serves.
        date_reason: Why that one.
        findings: Why it cannot be declared so; none: it can.
    """

    dataset: str
    relation: Relation
    others: Sequence[Relation]
    key: Key
    readings: Sequence[Reading]
    date_column: Column | None = None
    date_reason: str = ""
    findings: Sequence[str] = ()
    passed_over: Sequence[tuple[Relation, str]] = ()
    roles: Sequence[RoleGuess] = ()
    meanings: Sequence[MeaningGuess] = ()

    @property
    def left_out(self) -> list[Reading]:
        """The columns that are left out."""
        return [each for each in self.readings if each.column is None]

    @property
    def declared(self) -> list[Reading]:
        """The columns of which something is declared."""
        return [each for each in self.readings if each.declared != PLAIN]

    @property
    def personal(self) -> list[Reading]:
        """The columns that may be better masked: neither the key nor the dates."""
        dates = self.date_column.name if self.date_column else None
        return [
            each
            for each in self.readings
            if each.suggested and each.name != dates and each.name not in self.key.columns
        ]

    @property
    def needs_zone(self) -> bool:
        """Whether times of it are meant in a zone that nothing tells."""
        columns = [each.column for each in self.readings if each.column is not None]
        by_dates = self.date_column is not None and self.date_column.kind is Kind.DATE
        return by_dates or any(
            each.kind is Kind.TIMESTAMP or each.storage is Storage.ISO for each in columns
        )

    def declaration(self) -> Declaration:
        """The declaration that is proposed."""
        return Declaration.model_validate(
            {
                "table": self.relation.name,
                "schema": self.relation.schema,
                "key": list(self.key.columns),
                "date_column": self.date_column.name if self.date_column else None,
                "leave_out": [each.name for each in self.left_out],
                "columns": {each.name: each.declared for each in self.declared},
                "roles": {each.role: each.column for each in self.roles},
                "statuses": {each.meaning: list(each.values) for each in self.meanings},
            }
        )


def propose(engine: Engine, dataset: str, alike: Sequence[Relation]) -> Proposal:
    """The proposal for ``dataset``: the first of ``alike`` that can be exported.

    Where none can, it is that of the first, with findings.

    Raises:
        SourceUnavailable: The source does not answer.
    """
    failed: list[Proposal] = []
    for relation in alike[:MAX_TABLE_TRIES]:
        proposal = _proposal(engine, dataset, relation)
        if not proposal.findings:
            break
        failed.append(proposal)
    else:
        return replace(failed[0], others=alike[1:])
    passed_over = [(each.relation, each.findings[0]) for each in failed]
    return replace(proposal, others=alike[len(failed) + 1 :], passed_over=passed_over)


def _proposal(engine: Engine, dataset: str, relation: Relation) -> Proposal:
    with snapshot(engine) as connection:
        dialect = dialect_of(connection)
        try:
            reflected = dialect.reflect(connection, relation.name, relation.schema)
            keys = possible_keys(connection, dialect, dataset, relation, reflected)
        except (DBAPIError, UnreflectableTableError, NoSuchTableError) as error:
            if isinstance(error, DBAPIError) and not dialect.is_refusal(error):
                raise
            reason = "the source does not tell its columns: see that it is there, and whole"
            return Proposal(dataset, relation, (), Key((), ""), (), findings=[reason])
    readings = read_columns(dialect, Samples(engine, relation.clause), reflected)
    dates, reason = _date_column(dataset, readings, reflected)
    draft = Proposal(dataset, relation, (), Key((), ""), readings, dates, reason)
    return _with_key(engine, draft, keys)


def _date_column(
    dataset: str, readings: Sequence[Reading], reflected: Mapping[str, Reflected]
) -> tuple[Column | None, str]:
    ranked: list[tuple[int, bool, Column]] = []
    for each in readings:
        if each.column is None or each.column.kind not in TEMPORAL_KINDS:
            continue
        rank = time_rank(dataset, each.column)
        if rank is not None:
            ranked.append((rank, reflected[each.name].nullable, each.column))
    if not ranked:
        return None, ""
    rank, nullable, column = min(ranked, key=lambda one: one[:2])
    later, usual = divmod(rank, len(TIME_REASONS))
    reason = TIME_REASONS[usual] + ("; none says when a row was made" if later else "")
    if nullable:
        reason += "; rows in which it is null are in no window"
    return column, reason


def _with_key(engine: Engine, draft: Proposal, keys: Iterator[Key]) -> Proposal:
    """The draft with the first of ``keys`` that holds; where none does, with the reason."""
    first: Proposal | None = None
    for tried, key in enumerate(keys):
        if tried == MAX_KEY_TRIES:
            break
        proposal = replace(draft, key=key)
        findings = _findings(engine, proposal)
        if not findings:
            return proposal
        first = first or replace(proposal, findings=findings)
    if first is not None:
        return first
    reason = "no column is known to tell its rows apart: name one in key, or several together"
    return replace(draft, findings=[reason])


def _findings(engine: Engine, proposal: Proposal) -> list[str]:
    name = proposal.dataset
    try:
        with snapshot(engine) as connection:
            look_up(connection, name, proposal.declaration(), check_key=True)
    except DeclarationError as error:
        return [line.removeprefix(f"{name}: ") for line in str(error).splitlines()]
    return []
