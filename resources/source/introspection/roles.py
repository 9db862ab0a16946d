"""What columns most likely stand for, by foreign keys, by names, and by some rows.

A guess is made only where one column alone comes into question: a wrong one would make wrong
figures, and none is named as missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Engine

from resources.source.columns import Column, Kind
from resources.source.connection import snapshot
from resources.source.declarations import ROLES
from resources.source.dialects import dialect_of
from resources.source.introspection.names import NOUNS, forms, words
from resources.source.introspection.proposal import MeaningGuess, Proposal, RoleGuess
from resources.source.introspection.samples import Samples

# Which dataset the column of a role refers to.
_TARGETS = {"user": "users", "service": "services", "booking": "bookings"}
_NUMBERS = {Kind.DECIMAL, Kind.INTEGER, Kind.FLOAT}
_TEXTS = {Kind.TEXT}
# What columns of a role are called, the likeliest first, and what they hold.
_NAMES: Mapping[str, tuple[Sequence[Sequence[str]], set[Kind]]] = {
    "status": ([["status"], ["state"]], _TEXTS),
    "amount": (
        [["amount"], ["total"], ["total", "amount"], ["total", "price"], ["price"]],
        _NUMBERS,
    ),
    "currency": ([["currency"], ["currency", "code"]], _TEXTS),
    "method": ([["method"], ["payment", "method"]], _TEXTS),
    "name": ([["name"], ["title"]], _TEXTS),
}
_NOUN_AND_ID = len(["user", "id"])
# Words that leave no doubt. What "completed" means, nobody but the shop knows.
_MEANINGS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "bookings": {"cancelled": ["cancelled", "canceled"], "paid": ["paid"]},
    "payments": {"paid": ["paid", "captured", "settled"], "refunded": ["refunded", "refund"]},
}


def with_roles(engine: Engine, proposals: Mapping[str, Proposal]) -> dict[str, Proposal]:
    """``proposals`` with what their columns most likely stand for.

    Raises:
        SourceUnavailable: The source does not answer.
    """
    usable = {name: each for name, each in proposals.items() if not each.findings}
    return {
        name: _with_roles(engine, each, usable) if name in usable else each
        for name, each in proposals.items()
    }


def _with_roles(engine: Engine, proposal: Proposal, others: Mapping[str, Proposal]) -> Proposal:
    columns = _plain_columns(proposal)
    referring = _referring(engine, proposal, others)
    guesses: list[RoleGuess] = []
    for role in ROLES[proposal.dataset]:
        if role in _TARGETS:
            target = others.get(_TARGETS[role])
            guess = None if target is None else _reference(role, columns, target, referring)
        else:
            guess = _by_name(role, columns)
        if guess is not None:
            guesses.append(guess)
    found = replace(proposal, roles=guesses)
    return replace(found, meanings=list(_meanings(engine, found, columns)))


def _plain_columns(proposal: Proposal) -> dict[str, Column]:
    """Those that are exported as they are, and most likely will be."""
    return {
        each.name: each.column
        for each in proposal.readings
        if each.column is not None and each.suggested is None
    }


def _referring(
    engine: Engine, proposal: Proposal, others: Mapping[str, Proposal]
) -> dict[str, list[str]]:
    """The columns that foreign keys bind to the key of another dataset, by its name."""
    relation = proposal.relation
    with snapshot(engine) as connection:
        keys = dialect_of(connection).references(connection, relation.name, relation.schema)
    return {
        name: [
            column
            for column, schema, table, to in keys
            if (table, (to,)) == (other.relation.name, other.key.columns)
            and schema in {None, other.relation.schema}
        ]
        for name, other in others.items()
    }


def _reference(
    role: str,
    columns: Mapping[str, Column],
    target: Proposal,
    referring: Mapping[str, Sequence[str]],
) -> RoleGuess | None:
    key = _plain_columns(target).get(target.key.columns[0])
    if key is None or len(target.key.columns) > 1:
        return None
    alike = {name: each for name, each in columns.items() if each.kind is key.kind}
    bound = [name for name in referring[target.dataset] if name in alike]
    if bound:
        reason = f"a foreign key to the {target.dataset}"
        return RoleGuess(role, bound[0], reason) if len(bound) == 1 else None
    nouns = forms(NOUNS[target.dataset])
    own = {*words(target.relation.name), target.dataset}
    named = [
        name
        for name in alike
        if (said := words(name))[-1:] == ["id"]
        and len(said) == _NOUN_AND_ID
        and (said[0] in nouns or said[0] in own)
    ]
    return RoleGuess(role, named[0], "by its name") if len(named) == 1 else None


def _by_name(role: str, columns: Mapping[str, Column]) -> RoleGuess | None:
    names, kinds = _NAMES[role]
    for said in names:
        found = [
            name for name, each in columns.items() if words(name) == said and each.kind in kinds
        ]
        if len(found) == 1:
            return RoleGuess(role, found[0], "by its name")
    return None


def _meanings(
    engine: Engine, proposal: Proposal, columns: Mapping[str, Column]
) -> Iterator[MeaningGuess]:
    """What the rows looked at say of the status."""
    status = next((each.column for each in proposal.roles if each.role == "status"), None)
    if status is None:
        return
    cells = Samples(engine, proposal.relation.clause).of(columns[status]) or ()
    seen = sorted({cell for cell in cells if isinstance(cell, str)})
    for meaning, known in _MEANINGS[proposal.dataset].items():
        values = [cell for cell in seen if cell.strip().lower() in known]
        if values:
            yield MeaningGuess(meaning, values)
