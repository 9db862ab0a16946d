"""What names of tables and columns tell people, as far as it can be put into lists."""

import re
from collections.abc import Iterable, Mapping, Sequence

from resources.source.columns import Column, Kind

# What the tables of the datasets are called elsewhere, the likeliest first.
NOUNS: Mapping[str, Sequence[str]] = {
    "bookings": (
        *("booking", "reservation", "rental", "appointment", "order", "visit", "ticket"),
        *("trip", "stay", "enrollment", "enrolment"),
    ),
    "payments": ("payment", "transaction", "charge", "invoice", "receipt", "billing"),
    "users": (
        *("user", "customer", "client", "guest", "member", "patient", "person", "account"),
        *("subscriber", "passenger", "student", "contact"),
    ),
    "services": (
        *("service", "product", "item", "film", "room", "treatment", "listing", "offering"),
        *("course", "article", "property", "tour", "package"),
    ),
}
# What is done in a row of them, as in "booked_at".
VERBS: Mapping[str, Sequence[str]] = {
    "bookings": ("booked", "reserved", "rented", "ordered", "placed", "visited", "purchased"),
    "payments": ("paid", "charged", "invoiced", "billed", "captured", "transacted"),
    "users": ("joined", "registered", "signup", "enrolled"),
    "services": ("published", "listed", "released", "launched"),
}
# Words before or after a table's name that say nothing of what it holds.
_NOISE = frozenset({
    "app", "apps", "tbl", "tb", "t", "table", "core", "main", "data", "dbo", "public", "vw", "v",
    "view", "mv", "dim", "fact", "fct", "stg", "base", "common",
})  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])|[^\W\d_A-Z]+|[A-Z][^\W\d_A-Z]*|\d+")
_GLUED = re.compile(r"(?:tbl|vw)(?=\w{3})")

BIRTH = frozenset({"birth", "birthday", "birthdate", "dob", "born"})
CREATED = frozenset({
    "created", "create", "creation", "inserted", "insert", "added", "registered", "registration",
})  # fmt: skip
# What happens to a row after it was made, or will.
_LATER = frozenset({
    "updated", "update", "modified", "modification", "changed", "deleted", "removed", "expires",
    "expired", "expiry", "expiration", "last", "end", "ends", "ended", "due", "until", "valid",
    "cancelled", "canceled", "returned", "return", "archived", "synced",
})  # fmt: skip
_TIME_ENDS = frozenset({
    "at", "on", "date", "time", "datetime", "timestamp", "ts", "when", "epoch", "unix", "utc",
    "ms", "day",
})  # fmt: skip
_TIME_WORDS = CREATED | _LATER | _TIME_ENDS | BIRTH


def words(name: str) -> list[str]:
    """The words of a name in snake_case, CamelCase or with blanks, in small letters."""
    return [each.lower() for each in _WORD.findall(name)]


def forms(nouns: Iterable[str]) -> dict[str, str]:
    """Each noun by each of its forms, singular and plural."""
    return {form: noun for noun in nouns for form in (noun, *_plurals(noun))}


def _plurals(noun: str) -> list[str]:
    if noun == "person":
        return ["persons", "people"]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return [f"{noun[:-1]}ies"]
    return [f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"]


_FORMS = {dataset: forms(nouns) for dataset, nouns in NOUNS.items()}


def likeness(dataset: str, schema: str | None, table: str) -> tuple[int, int] | None:
    """How much a table's name says that it is the dataset; less is more, None: it does not.

    First how near the name is: the noun alone (0), with words that say nothing (1), with a
    module's name before it (2), with a noun of another dataset (3). Then how usual the noun is.
    """
    said = words(_GLUED.sub("", table) if table.islower() else table)
    silent = _NOISE | set(words(schema or ""))
    told = _without_noise(said, silent)
    noun = _FORMS[dataset].get(told[-1]) if told else None
    if noun is None:
        return None
    usual = NOUNS[dataset].index(noun)
    others = {form for name, known in _FORMS.items() if name != dataset for form in known}
    if others & set(told[:-1]):
        # What stands between two tables: "order_items", "booking_services".
        return None if dataset == "services" else (3, usual)
    if len(told) > 1:
        return (2, usual)
    return (0 if said == told else 1, usual)


def _without_noise(said: list[str], silent: frozenset[str] | set[str]) -> list[str]:
    """``said`` without silent words at its ends; its last word stays, whatever it is."""
    told = list(said)
    while len(told) > 1 and told[0] in silent:
        told.pop(0)
    while len(told) > 1 and told[-1] in _NOISE:
        told.pop()
    return told


def sounds_like_time(name: str) -> bool:
    """Whether a column of this name is expected to hold times."""
    return not _TIME_WORDS.isdisjoint(words(name))


def time_rank(dataset: str, column: Column) -> int | None:
    """How well a column of times serves as the date column; less is better, None: not at all."""
    said = words(column.name)
    if not BIRTH.isdisjoint(said):
        return None
    later = 0 if _LATER.isdisjoint(said) else len(TIME_REASONS)
    if not CREATED.isdisjoint(said):
        return later
    if said and said[-1] in _TIME_ENDS:
        if said[0] in _FORMS[dataset] or said[0] in VERBS[dataset]:
            return later + 1
        if said[-1] in {"at", "on"}:
            return later + (2 if said[-1] == "at" else 3)
    return later + (5 if column.kind is Kind.DATE else 4)


# What speaks for a date column, by its rank.
TIME_REASONS = (
    "its name says when a row was made",
    "its name says when it happened",
    "its name is one of a time",
    "its name is one of a date",
    "it holds times",
    "it holds dates",
)


def key_rank(dataset: str, table: str, name: str) -> int | None:
    """How well a column of this name may tell rows apart; less is better, None: not at all."""
    said = words(name)
    nouns = {*_FORMS[dataset], *words(table)}
    if said in (["id"], ["uuid"], ["guid"], ["pk"]):
        return 0
    if not said or said[-1] not in {"id", "uuid", "guid", "no", "number", "code", "ref", "key"}:
        return None
    singular = {_FORMS[dataset].get(word, word) for word in nouns} | nouns
    return 1 if set(said[:-1]) <= singular else 2
