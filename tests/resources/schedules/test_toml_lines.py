"""Each key's line, whatever TOML allows between."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resources.schedules.toml_lines import Path, key_lines, line_of

DOCUMENT = '''\
# a # comment = 1
[daily]  # another
cron = "0 3 * * *"
a.b."c.d" = 1
text = """
[not.a.table]
no = "key" """
raw = \'\'\'
it = "is"\'\'\'\'
list = [
  1, # one = 1
  "x = 2",
  { deep = 3, other = [4] },
]
when = 2024-01-01 00:00:00.5Z
inline = { k = 1, "q r" = { z = 1.5e3 } }
[ "quoted \\u0061" . sub ]
k = 1

[[many]]
k = 1
[[many]]
k = 2
[many.sub]
k = 3
'''


EXPECTED = """\
2 daily
3 daily.cron
4 daily.a
4 daily.a.b
4 daily.a.b.c.d
5 daily.text
8 daily.raw
10 daily.list
11 daily.list.0
12 daily.list.1
13 daily.list.2
13 daily.list.2.deep
13 daily.list.2.other
13 daily.list.2.other.0
15 daily.when
16 daily.inline
16 daily.inline.k
16 daily.inline.q r
16 daily.inline.q r.z
17 quoted a
17 quoted a.sub
18 quoted a.sub.k
20 many
20 many.0
21 many.0.k
22 many.1
23 many.1.k
24 many.1.sub
25 many.1.sub.k"""


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Every path in a document that `tomllib` has read."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    found = {path} if path else set()
    for key, each in inner:
        found |= paths_of(each, (*path, str(key)))
    return found


def test_the_line_of_every_key_is_known() -> None:
    lines = key_lines(DOCUMENT)

    assert paths_of(tomllib.loads(DOCUMENT)) == lines.keys()
    told = [f"{line} {'.'.join(path)}" for path, line in lines.items()]
    assert told == EXPECTED.split("\n")


def test_what_is_not_there_is_told_by_what_it_would_be_in() -> None:
    lines = key_lines(DOCUMENT)

    assert line_of(lines, ("daily", "owner")) == 2
    assert line_of(lines, ("daily", "inline", "k", "x")) == 16
    assert line_of(lines, ("nowhere",)) == 1
    assert line_of({}, ()) == 1


TEXTS = st.one_of(
    st.text("abc#=[]{}.,'\" \\\n", max_size=8).map(
        lambda text: '"""' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'
    ),
    st.text('abc#=[]{}., "\n', max_size=8).map(lambda text: f"'''{text}'''"),
    st.text('abc#=[]{}., "', max_size=8).map(lambda text: f"'{text}'"),
    st.text("abc#=[]{}., '", max_size=8).map(lambda text: f'"{text}"'),
)
SIMPLE = st.sampled_from(["1", "-2.5", "true", "2024-01-01T00:00:00.5+01:00", "07:30:00", "inf"])
KEYS = st.sampled_from(["a", "b-c", "1", '"a.b"', "'c = 1'", '"\\u0064"', '""', '"#"'])
GAPS = st.sampled_from(["", "\n", " # a = 1\n", "\n\n# [x]\n"])


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(st.tuples(GAPS, values, GAPS).map("".join), max_size=3)
    return st.tuples(items.map(",".join), GAPS).map(lambda each: f"[{each[0]}{each[1]}]")


def inline_tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.dictionaries(KEYS, values, max_size=3)
    return pairs.map(lambda each: "{" + ", ".join(f"{k} = {v}" for k, v in each.items()) + "}")


VALUES = st.recursive(
    st.one_of(TEXTS, SIMPLE),
    lambda inner: st.one_of(arrays(inner), inline_tables(inner)),
    max_leaves=6,
)
BLOCKS = st.lists(
    st.tuples(KEYS, VALUES, GAPS).map(lambda each: f"{each[0]} = {each[1]} {each[2]}\n"),
    max_size=3,
).map("".join)
HEADERS = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
TABLES = st.tuples(
    HEADERS.flatmap(lambda name: st.sampled_from([f"[{name}]", f"[[ {name} ]]"])), BLOCKS
).map(lambda each: f"{each[0]} # here\n{each[1]}")
DOCUMENTS = st.tuples(BLOCKS, st.lists(TABLES, max_size=4).map("".join)).map("".join)


@given(DOCUMENTS)
def test_the_keys_found_are_those_that_tomllib_finds(document: str) -> None:
    try:
        read = tomllib.loads(document)
    except tomllib.TOMLDecodeError:  # such as a key that comes twice
        return

    lines = key_lines(document)

    assert lines.keys() == paths_of(read)
    at = document.split("\n")
    for path, line in lines.items():
        assert any(key in at[line - 1] for key in ("=", "[", *path)) or path[-1].isdecimal()
