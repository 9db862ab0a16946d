"""The settings: what each variable means, what is refused, what is never shown."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resources.results.location import BucketLocation
from resources.settings import PROJECT_ROOT, Settings, load_settings, with_driver

SECRET = "hunter2"  # a password, as far as the tests go
POSTGRES = f"postgresql://user:{SECRET}@db.example.com:5432/workers"
PLAIN = {
    "home": ("/srv/workers", Path("/srv/workers")),
    "datasets": ("/etc/workers/datasets.toml", Path("/etc/workers/datasets.toml")),
    "schedules": ("/etc/workers/schedules.toml", Path("/etc/workers/schedules.toml")),
    "results_url": ("s3://exports/workers", "s3://exports/workers"),
    "archives_url": ("/srv/archives", "/srv/archives"),
    "api_host": ("0.0.0.0", "0.0.0.0"),
    "api_port": ("8080", 8080),
    "ui_host": ("::1", "::1"),
    "ui_port": ("65535", 65535),
    "public_url": ("https://tasks.example.com/base/", "https://tasks.example.com/base"),
    "slots": ("64", 64),
    "owner_slots": ("3", 3),
    "type_slots": (
        "bookings_export=2, users_export = 10",
        {"bookings_export": 2, "users_export": 10},
    ),
    "task_max_attempts": ("5", 5),
    "task_max_runtime": ("PT90M", timedelta(minutes=90)),
    "result_retention": ("PT36H", timedelta(hours=36)),
    "task_retention": ("P400D", timedelta(days=400)),
    "log_level": ("debug", "debug"),
}
SECRETS = {"database_url": POSTGRES, "source_url": POSTGRES, "mask_key": POSTGRES}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WORKERS_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


def settings_with(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> Settings:
    monkeypatch.setenv(f"WORKERS_{name.upper()}", value)
    return Settings()


def test_these_tests_know_every_setting() -> None:
    assert set(Settings.model_fields) == set(PLAIN) | set(SECRETS)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    text, value = PLAIN[name]
    assert getattr(Settings(), name) != value
    assert getattr(settings_with(monkeypatch, name, text), name) == value


def test_without_any_variable_the_demo_runs_in_this_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    home = tmp_path / ".workers"
    assert settings.home == home
    assert settings.state_url.render_as_string() == f"sqlite:///{home}/state/runs.db"
    assert settings.source.render_as_string() == f"sqlite:///{home}/demo-source.sqlite"
    assert settings.results == home / "results"
    assert settings.datasets == PROJECT_ROOT / "datasets.toml"
    assert settings.schedules == PROJECT_ROOT / "schedules.toml"
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)
    assert (settings.slots, settings.result_retention) == (4, timedelta(days=7))
    assert (settings.task_max_attempts, settings.task_max_runtime) == (3, timedelta(days=1))


@pytest.mark.parametrize(
    ("slots", "owner_slots", "expected"),
    [(4, None, 3), (2, None, 1), (1, None, 1), (4, 4, 4), (4, 1, 1), (2, 8, 2)],
)
def test_one_owner_leaves_a_slot_to_the_others_if_nothing_else_is_said(
    slots: int, owner_slots: int | None, expected: int
) -> None:
    assert Settings(slots=slots, owner_slots=owner_slots).slots_per_owner == expected


def test_a_task_type_that_is_limited_and_unknown_is_told_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValidationError, match="'exports'; there are bookings_export, data"):
        settings_with(monkeypatch, "type_slots", "exports=1")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"WORKERS_{name.upper()}", "")
    emptied = Settings()
    monkeypatch.undo()
    assert emptied == Settings()


@pytest.mark.parametrize(
    ("variables", "home"),
    [
        ({"DAGSTER_HOME": "/srv/dagster"}, "/srv/dagster"),
        ({"DAGSTER_HOME": "/srv/dagster", "WORKERS_HOME": "/srv/workers"}, "/srv/workers"),
        ({"DAGSTER_HOME": ""}, f"{Path.cwd()}/.workers"),
        ({"WORKERS_HOME": "relative"}, f"{Path.cwd()}/relative"),
        ({"WORKERS_HOME": "~/workers"}, f"{Path.home()}/workers"),
    ],
)
def test_the_home_is_absolute_and_falls_back_to_dagsters(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], home: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(Settings().home) == home


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_port", "0"),
        ("api_port", "65536"),
        ("api_port", "http"),
        ("ui_port", "-1"),
        ("slots", "0"),
        ("slots", "65"),
        ("slots", "1.5"),
        ("owner_slots", "0"),
        ("owner_slots", "65"),
        ("type_slots", "bookings_export"),
        ("type_slots", "bookings_export=0"),
        ("type_slots", "bookings_export=-1"),
        ("type_slots", "bookings_export=1.5"),
        ("type_slots", "bookings_export=1,"),
        ("type_slots", "bookings_export=1,bookings_export=2"),
        ("type_slots", "unheard_of=1"),
        ("type_slots", '{"bookings_export": 1}'),
        ("result_retention", "PT0S"),
        ("result_retention", "-P1D"),
        ("result_retention", "a week"),
        ("log_level", "INFO"),
        ("log_level", "loud"),
        ("public_url", "tasks.example.com"),
        ("public_url", "ftp://tasks.example.com"),
        ("public_url", "https://"),
        ("public_url", "http://[::1"),
        ("database_url", "workers"),
        ("database_url", "mysql://user@host/workers"),
        ("database_url", "sqlite:////srv/runs.db"),
        ("source_url", "shop"),
        ("source_url", "oracle://user@host/shop"),
        ("mask_key", "fifteen letters"),
        ("archives_url", "archives"),
        ("results_url", "results"),
        ("results_url", "https://exports.s3.amazonaws.com/workers"),
        ("results_url", "file://server/srv/results"),
        ("results_url", "file://"),
        ("results_url", "file:results"),
        ("results_url", "s3://"),
        ("results_url", "s3:exports"),
        ("results_url", "s3://Exports"),
        ("results_url", "s3://exports:9000/workers"),
        ("results_url", "s3://exports/a b"),
        ("results_url", "s3://exports/a//b"),
        ("results_url", "s3://exports/../b"),
        ("results_url", "s3://exports/b?region=eu-west-1"),
        ("results_url", "s3://[exports"),
        ("source_url", "postgresql://user@host:port/shop"),
    ],
)
def test_a_bad_value_is_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        settings_with(monkeypatch, name, value)
    assert [error["loc"] for error in raised.value.errors()] == [(name,)]
    assert name in str(raised.value)


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS_SLOTS", "0")
    with pytest.raises(ValidationError) as raised:
        settings_with(monkeypatch, "api_port", "0")
    assert raised.value.error_count() == 2


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_password_is_in_no_representation(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = settings_with(monkeypatch, name, POSTGRES)
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    shown += [repr(settings.state_url), str(settings.source)]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+mysqldb"])
def test_a_mysql_url_gets_the_driver_that_needs_no_compiler(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    settings = settings_with(monkeypatch, "source_url", f"{scheme}://user:{SECRET}@host:3306/shop")
    driven = f"mysql+pymysql://user:{SECRET}@host:3306/shop"
    assert settings.source.render_as_string(hide_password=False) == driven


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@host/name",
        f"user:{SECRET}@host",
        f"postgresql://user:{SECRET}@host:port/name",
        f"postgresql://user:{SECRET}",
    ],
)
def test_a_password_is_in_no_error(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    try:
        shown = repr(settings_with(monkeypatch, name, url))
    except ValidationError as error:
        shown = f"{error} {error!r} {error.errors(include_input=False)}"
    assert SECRET not in shown


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"]
)
def test_a_postgresql_url_gets_the_driver_that_dagster_has(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    url = f"{scheme}://user:{SECRET}@host:5432/name?sslmode=require"
    driven = f"postgresql+psycopg2://user:{SECRET}@host:5432/name?sslmode=require"
    for name, read in (("database_url", "state_url"), ("source_url", "source")):
        settings = settings_with(monkeypatch, name, url)
        assert getattr(settings, read).render_as_string(hide_password=False) == driven


def test_the_source_may_be_a_sqlite_file(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, "source_url", "sqlite:////srv/shop.sqlite")
    assert settings.source.database == "/srv/shop.sqlite"


@pytest.mark.parametrize("url", ["", "nonsense", f"postgresql://user:{SECRET}", f"{SECRET}@host"])
def test_what_is_no_database_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="is not a database URL") as raised:
        with_driver(url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("/srv/results", Path("/srv/results")),
        ("file:///srv/results", Path("/srv/results")),
        ("file://localhost/srv/my%20results", Path("/srv/my results")),
        ("s3://exports", BucketLocation("exports", "")),
        ("s3://exports/", BucketLocation("exports", "")),
        ("s3://my.exports/workers/eu=1/", BucketLocation("my.exports", "workers/eu=1")),
    ],
)
def test_results_lie_in_a_folder_or_a_bucket(
    monkeypatch: pytest.MonkeyPatch, url: str, place: Path | BucketLocation
) -> None:
    assert settings_with(monkeypatch, "results_url", url).results == place


@pytest.mark.parametrize(
    ("archives", "results"),
    [
        ("/srv/rows", "/srv/rows"),
        ("/srv/rows/archives", "/srv/rows"),
        ("/srv/rows", "file:///srv/rows/results"),
        ("s3://exports", "s3://exports/results"),
        ("s3://exports/workers/archives", "s3://exports/workers"),
    ],
)
def test_archives_and_results_that_lie_in_one_another_are_refused(
    monkeypatch: pytest.MonkeyPatch, archives: str, results: str
) -> None:
    monkeypatch.setenv("WORKERS_RESULTS_URL", results)
    with pytest.raises(ValidationError, match="must not lie in one another"):
        settings_with(monkeypatch, "archives_url", archives)


@pytest.mark.parametrize(
    ("archives", "results"),
    [
        ("/srv/archives", "/srv/archives-not"),
        ("s3://exports/archives", "s3://exports/results"),
        ("s3://rows", "s3://exports"),
        ("/srv/rows", "s3://exports"),
    ],
)
def test_archives_and_results_may_lie_beside_one_another(
    monkeypatch: pytest.MonkeyPatch, archives: str, results: str
) -> None:
    monkeypatch.setenv("WORKERS_RESULTS_URL", results)
    assert settings_with(monkeypatch, "archives_url", archives).archives_url == archives


@pytest.mark.parametrize(
    "url",
    [f"s3://key:{SECRET}@exports", f"s3://exports?secret={SECRET}", f"s3://exports#{SECRET}"],
)
def test_credentials_in_the_results_url_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(ValidationError, match="AWS_SECRET_ACCESS_KEY") as raised:
        settings_with(monkeypatch, "results_url", url)
    assert SECRET not in f"{raised.value} {raised.value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", f"minio:9000/{SECRET}"),
        ("AWS_ENDPOINT_URL", f"http://minio:{SECRET}"),
        ("AWS_ENDPOINT_URL", f"http:///{SECRET}"),
        ("AWS_ENDPOINT_URL_S3", f"{SECRET} http://minio"),
        ("AWS_ACCESS_KEY_ID", f"{SECRET}\n"),
        ("AWS_SESSION_TOKEN", f"{SECRET}\u00fc"),
    ],
)
def test_a_way_to_s3_that_cannot_be_meant_is_refused_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert Settings().results_url is None
    with pytest.raises(ValidationError, match=name) as raised:
        settings_with(monkeypatch, "results_url", "s3://exports")
    assert SECRET not in f"{raised.value} {raised.value!r}"


@pytest.mark.parametrize(("name", "value"), [("slots", 3), ("database_url", None)])
def test_settings_do_not_change(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings(), name, value)


def test_a_process_reads_its_settings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load_settings.cache_clear()
    try:
        first = load_settings()
        monkeypatch.setenv("WORKERS_SLOTS", "7")
        assert load_settings() is first
    finally:
        load_settings.cache_clear()
