"""Proposals as a ``datasets.toml`` that explains itself."""

import re
from collections.abc import Iterable, Mapping, Sequence

from resources.source.declarations import DATASETS
from resources.source.introspection.names import NOUNS
from resources.source.introspection.proposal import Proposal
from resources.source.introspection.readings import Reading

LINE_LENGTH = 100
INDENT = "    "

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F

_HEAD = """\
# What may be exported: a first version, guessed by `workers init`. Read it before you use it.
#
# Each table here is one of the datasets bookings, payments, users, services. The names on the
# right are the database's. What is wrong, change; what nobody should export, remove.
# `workers check` says whether it all fits; docs/datasets.md explains each line.
"""


def quote(text: str) -> str:
    """``text`` as a TOML string (a basic one), in one line whatever it holds."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    # U+0085, U+2028 and U+2029 end lines in some editors.
    if code < _FIRST_PRINTABLE or code == _DELETE or character in "\x85\u2028\u2029":
        return f"\\u{code:04x}"
    return character


def key_name(name: str) -> str:
    """``name`` as a TOML key, quoted where it must be."""
    return name if _BARE.fullmatch(name) else quote(name)


def document(proposals: Mapping[str, Proposal]) -> str:
    """The text of ``datasets.toml``, with a section for every dataset."""
    sections = [
        _section(proposals[name]) if name in proposals else _missing(name) for name in DATASETS
    ]
    return "\n".join([_HEAD, *sections])


def _missing(dataset: str) -> str:
    usual = ", ".join(NOUNS[dataset][:4])
    lines = [
        f"# No table has a name that says {dataset} ({usual}, ...). Where there is one:",
        "#",
        f"# [{dataset}]",
        '# table = "..."',
        '# key = "..."',
    ]
    return _text(lines)


def _section(proposal: Proposal) -> str:
    lines = list(_lines(proposal))
    if not proposal.findings:
        return _text(lines)
    reasons = [f"# Not declared, because it would not work: {each}" for each in proposal.findings]
    commented = [line if line.startswith("#") else f"# {line}" for line in lines]
    return _text([*reasons, *commented])


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _lines(proposal: Proposal) -> Iterable[str]:
    relation = proposal.relation
    yield f"[{proposal.dataset}]"
    if proposal.others:
        others = ", ".join(quote(each.full_name) for each in proposal.others)
        yield f"# By its name; {others} would do as well."
    for passed, reason in proposal.passed_over:
        yield f"# Passed over, {quote(passed.full_name)}: {reason}."
    if relation.schema is not None:
        yield f"schema = {quote(relation.schema)}"
    yield f"table = {quote(relation.name)}"
    yield from _key_lines(proposal)
    yield from _date_lines(proposal)
    yield from _left_out_lines(proposal.left_out)
    for each in proposal.declared:
        yield from _explained(f"columns.{key_name(each.name)} = {_declared(each)}", _why(each))
    yield from _role_lines(proposal)
    yield from _mask_lines(proposal)


def _role_lines(proposal: Proposal) -> Iterable[str]:
    for each in proposal.roles:
        yield from _explained(f"roles.{each.role} = {quote(each.column)}", each.reason)
    for meaning in proposal.meanings:
        values = f"[{', '.join(map(quote, meaning.values))}]"
        reason = "by the rows looked at; there may be others"
        yield from _explained(f"statuses.{meaning.meaning} = {values}", reason)


def _key_lines(proposal: Proposal) -> Iterable[str]:
    if not proposal.key.columns:
        yield 'key = "..."'
        return
    names = [quote(name) for name in proposal.key.columns]
    key = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    yield from _explained(f"key = {key}", proposal.key.reason)


def _date_lines(proposal: Proposal) -> Iterable[str]:
    if proposal.date_column is None:
        yield "# No column says when: without a date_column, requests cannot ask for a time."
    else:
        named = quote(proposal.date_column.name)
        yield from _explained(f"date_column = {named}", proposal.date_reason)
    if proposal.needs_zone:
        yield from _explained(
            'time_zone = "UTC"', "a guess! the database does not say in which zone times are meant"
        )


def _explained(line: str, reason: str) -> Iterable[str]:
    """The line with the reason behind it, or before it where it is too long."""
    together = f"{line}  # {reason}"
    return [together] if len(together) <= LINE_LENGTH else [f"# {reason}:", line]


def _left_out_lines(left_out: Sequence[Reading]) -> Iterable[str]:
    if not left_out:
        return
    reasons = dict.fromkeys(each.reason for each in left_out)
    for reason in reasons:
        names = ", ".join(quote(each.name) for each in left_out if each.reason == reason)
        yield f"# Left out, {names}: {reason}."
    named = [quote(each.name) for each in left_out]
    line = f"leave_out = [{', '.join(named)}]"
    if len(line) <= LINE_LENGTH:
        yield line
        return
    yield "leave_out = ["
    yield from (f"{INDENT}{name}," for name in named)
    yield "]"


def _why(reading: Reading) -> str:
    return f"{reading.reason}; or {reading.possible}" if reading.possible else reading.reason


def _declared(reading: Reading) -> str:
    declared = reading.declared
    if declared.stored is not None:
        return f"{{ stored = {quote(declared.stored)} }}"
    return f"{{ as = {quote(declared.as_ or '')} }}"


def _mask_lines(proposal: Proposal) -> Iterable[str]:
    if not proposal.personal:
        return
    yield "# These look personal. To export a mask in place of the value, take the # away:"
    for each in proposal.personal:
        declared = _declared(each).strip("{ }") + ", " if each in proposal.declared else ""
        replaces = "  # in place of the line above" if declared else ""
        mask = quote(each.suggested.value if each.suggested else "")
        yield f"# columns.{key_name(each.name)} = {{ {declared}mask = {mask} }}{replaces}"
