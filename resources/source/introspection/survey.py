"""A look at a whole source."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from resources.source.connection import snapshot
from resources.source.declarations import DATASETS
from resources.source.dialects import dialect_of
from resources.source.introspection.proposal import Proposal, propose
from resources.source.introspection.roles import with_roles
from resources.source.introspection.tables import Relation, candidates, relations


def survey(engine: Engine) -> tuple[Sequence[Relation], Mapping[str, Proposal]]:
    """All tables of a source, and what is proposed for the datasets that are among them.

    Raises:
        SourceUnavailable: The source does not answer.
    """
    with snapshot(engine) as connection:
        found = relations(connection, dialect_of(connection))
    alike = {name: candidates(name, found) for name in DATASETS}
    proposals = {name: propose(engine, name, each) for name, each in alike.items() if each}
    return found, with_roles(engine, proposals)
