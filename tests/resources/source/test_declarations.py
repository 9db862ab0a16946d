"""What datasets.toml may say."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from resources.errors import DeclarationError
from resources.settings import PROJECT_ROOT
from resources.source.declarations import (
    DATASETS,
    MEANINGS,
    ROLES,
    Declaration,
    load_declarations,
    read_declarations,
)


def declared(folder: Path, toml: str) -> Path:
    path = folder / "datasets.toml"
    path.write_text(toml, encoding="utf-8")
    return path


def test_a_declaration_needs_a_table_and_a_key_only(tmp_path: Path) -> None:
    path = declared(tmp_path, '[bookings]\ntable = "orders"\nkey = "id"')
    assert load_declarations(path) == {"bookings": Declaration(table="orders", key=["id"])}


def test_everything_that_can_be_declared_is_kept(tmp_path: Path) -> None:
    path = declared(
        tmp_path,
        """
        [users]
        table = "people"
        key = ["country", "number"]
        date_column = "joined"
        time_zone = "Europe/Berlin"
        leave_out = ["password"]
        """,
    )
    users = load_declarations(path)["users"]
    assert (users.table, users.key) == ("people", ["country", "number"])
    assert (users.date_column, users.leave_out) == ("joined", ["password"])
    assert users.zone == ZoneInfo("Europe/Berlin")


def test_a_zone_that_is_not_declared_is_utc() -> None:
    assert Declaration(table="t", key=["id"]).zone == ZoneInfo("UTC")


def test_the_declarations_that_come_with_the_project_can_be_loaded() -> None:
    assert "bookings" in load_declarations(PROJECT_ROOT / "datasets.toml")


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ('key = "id"', "users.table"),
        ('table = "t"', "users.key"),
        ('table = ""\nkey = "id"', "users.table"),
        ('table = "t"\nkey = []', "users.key"),
        ('table = "t"\nkey = 1', "users.key"),
        ('table = "t"\nkey = "id"\ncolumns = ["a"]', "users.columns"),
        ('table = "t"\nkey = "id"\nleave_out = "a"', "users.leave_out"),
        ('table = "t"\nkey = "id"\ndate_column = 2024-01-01', "users.date_column"),
        ('table = "t"\nkey = "id"\ntime_zone = "Europe/Berlim"', "users.time_zone"),
        ('table = "t"\nkey = "id"\ntime_zone = "../../etc/passwd"', "users.time_zone"),
        ('table = "t"\nkey = "id"\ntime_zone = ""', "users.time_zone"),
        ('table = "t\\u0000"\nkey = "id"', "users"),
        ('table = "t"\nkey = ["id", "id"]', "users.key"),
        ('table = "t"\nkey = "id"\nowners = ["me"]', "users.owners"),
        ('table = "t"\nkey = "id"\ncolumns.a = { as = "money" }', "users.columns.a.as"),
        ('table = "t"\nkey = "id"\ncolumns.a = { as = "decimal(39, 2)" }', "users.columns.a.as"),
        ('table = "t"\nkey = "id"\ncolumns.a = { as = "decimal(3, 4)" }', "users.columns.a.as"),
        ('table = "t"\nkey = "id"\ncolumns.a = { mask = "blur" }', "users.columns.a.mask"),
        ('table = "t"\nkey = "id"\ncolumns.a = { stored = "julian" }', "users.columns.a.stored"),
        (
            'table = "t"\nkey = "id"\ncolumns.a = { as = "text", stored = "unix" }',
            "users.columns.a",
        ),
    ],
)
def test_a_mistake_is_named_by_file_dataset_and_field(
    tmp_path: Path, table: str, where: str
) -> None:
    with pytest.raises(DeclarationError, match=f"^datasets.toml: {where}"):
        load_declarations(declared(tmp_path, f"[users]\n{table}"))


def test_every_mistake_of_every_dataset_is_told_at_once(tmp_path: Path) -> None:
    path = declared(tmp_path, 'surplus = 1\n[users]\nkey = 1\n[services]\ntable = "s"')
    with pytest.raises(DeclarationError) as raised:
        load_declarations(path)
    findings = str(raised.value).splitlines()
    assert [line.split(": ")[1] for line in findings] == [
        "surplus",
        "users.table",
        "users.key",
        "services.key",
    ]


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"^missing\.toml cannot be read") as raised:
        load_declarations(tmp_path / "missing.toml")
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("content", [b"[users", b"[a]\nkey = '\xff'", b"[a]\n[a]"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "datasets.toml"
    path.write_bytes(content)
    with pytest.raises(DeclarationError, match=r"^datasets\.toml is not TOML"):
        load_declarations(path)


def test_what_is_unusable_does_not_hide_the_other_declarations(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text('bookings = 3\n[users]\ntable = "users"\nkey = "id"\n[payments]\nclour = 1\n')

    declarations, findings = read_declarations(path)

    assert declarations.keys() == {"users"}
    assert findings["bookings"] == [
        "datasets.toml: bookings: should be a table, as [bookings] makes it"
    ]
    assert [line.split(": ", 2)[1] for line in findings["payments"]] == [
        "payments.table",
        "payments.key",
        "payments.clour",
    ]


# --- Roles and what statuses mean ---

DECLARED = '[{dataset}]\ntable = "t"\nkey = "id"\n{lines}'


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_role_and_meaning_can_be_declared(tmp_path: Path, dataset: str) -> None:
    lines = [f'roles.{role} = "c {role}"' for role in ROLES[dataset]]
    lines += [f'statuses.{meaning} = ["{meaning}", "B"]' for meaning in MEANINGS[dataset]]
    path = declared(tmp_path, DECLARED.format(dataset=dataset, lines="\n".join(lines)))

    told = load_declarations(path)[dataset]

    assert told.roles == {role: f"c {role}" for role in ROLES[dataset]}
    assert told.statuses == {meaning: [meaning, "B"] for meaning in MEANINGS[dataset]}
    assert set(told.named_columns()) == {"id", *told.roles.values()}


def test_a_single_status_needs_no_list(tmp_path: Path) -> None:
    lines = 'roles.status = "state"\nstatuses.paid = "ok"'
    path = declared(tmp_path, DECLARED.format(dataset="payments", lines=lines))
    assert load_declarations(path)["payments"].statuses == {"paid": ["ok"]}


@pytest.mark.parametrize(
    ("dataset", "lines", "finding"),
    [
        (
            "payments",
            'roles.amonut = "a"',
            "payments.roles.amonut: is nothing that can be declared; there are booking",
        ),
        (
            "users",
            'roles.amount = "a"',
            "users.roles.amount: is nothing that can be declared; users have none",
        ),
        (
            "bookings",
            'roles.status = "s"\nstatuses.refunded = "r"',
            "bookings.statuses.refunded: is nothing that can be declared; there are paid",
        ),
        (
            "bookings",
            'statuses.cancelled = "c"',
            "bookings.statuses: of which column? Declare roles.status",
        ),
    ],
)
def test_a_role_or_meaning_that_there_is_not_is_a_finding(
    tmp_path: Path, dataset: str, lines: str, finding: str
) -> None:
    path = declared(tmp_path, DECLARED.format(dataset=dataset, lines=lines))
    with pytest.raises(DeclarationError) as failure:
        load_declarations(path)
    assert str(failure.value).startswith(f"datasets.toml: {finding}")
