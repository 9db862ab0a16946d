"""The service's settings: one typed class, read from ``WORKERS_*`` in the environment.

Nothing else in the project reads the environment for its configuration.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from resources.results.location import BucketLocation, check_environment, parse_results_url
from resources.task_types import REGISTRY

PROJECT_ROOT = Path(__file__).resolve().parent.parent
STATE_FOLDER = "state"
RESULTS_FOLDER = "results"
ARCHIVES_FOLDER = "archives"
DEMO_SOURCE_NAME = "demo-source.sqlite"
MAX_PORT = 65_535
# What Dagster calls the place where the jobs are defined; workspace.yaml says it too.
CODE_LOCATION = "workers"
# Where, beside the code server's socket, runs are asked for.
RUNS_SOCKET = "runs.sock"

# SQLAlchemy 2.1 reads "postgresql://" as psycopg 3; Dagster's storage needs psycopg 2.
POSTGRESQL_DRIVER = "postgresql+psycopg2"
MYSQL_DRIVER = "mysql+pymysql"
# Less could be guessed.
LEAST_MASK_KEY_LENGTH = 16


def _default_home() -> Path:
    """``DAGSTER_HOME`` where Dagster is started by hand, else ``.workers`` in this folder."""
    return Path(os.environ.get("DAGSTER_HOME") or ".workers")


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        msg = "must be an http or https URL, for example https://tasks.example.com"
        raise ValueError(msg)
    return value.rstrip("/")


def _read_type_slots(text: Any) -> Any:
    """``bookings_export=2,users_export=1``, as a mapping."""
    if not isinstance(text, str):
        return text
    limits = {}
    for entry in text.split(","):
        task_type, _, number = (each.strip() for each in entry.partition("="))
        if task_type not in REGISTRY:
            msg = f"knows no task type {task_type!r}; there are {', '.join(sorted(REGISTRY))}"
            raise ValueError(msg)
        if task_type in limits or not re.fullmatch(r"[1-9][0-9]{0,3}", number):
            msg = f"must give {task_type} one number from 1, for example {task_type}=2"
            raise ValueError(msg)
        limits[task_type] = int(number)
    return limits


def with_driver(url: str) -> URL:
    """The SQLAlchemy URL of ``url``, with the driver this service uses for its database.

    Raises:
        ValueError: ``url`` is not a database URL. The message does not repeat it: it may
            hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        msg = "is not a database URL, for example postgresql://user@host:5432/name"
        raise ValueError(msg) from error
    if parsed.get_backend_name() in {"postgresql", "postgres"}:
        return parsed.set(drivername=POSTGRESQL_DRIVER)
    if parsed.get_backend_name() in {"mysql", "mariadb"}:
        return parsed.set(drivername=MYSQL_DRIVER)
    return parsed


def _overlap(one: Path | BucketLocation, other: Path | BucketLocation) -> bool:
    """Whether what is in one place may be in the other as well."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.is_relative_to(other) or other.is_relative_to(one)
    if isinstance(one, BucketLocation) and isinstance(other, BucketLocation):
        prefixes = [f"{each.prefix}/" if each.prefix else "" for each in (one, other)]
        return one.bucket == other.bucket and (
            prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0])
        )
    return False


def _is_source(url: URL) -> bool:
    return url.get_backend_name() in {"postgresql", "mysql", "sqlite"}


class Settings(BaseSettings):
    """Every setting of the service, each read from ``WORKERS_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix="WORKERS_",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # it may hold a password
    )

    home: Path = Field(
        default_factory=_default_home,
        description="Folder for state, results, logs; also Dagster's home",
    )
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL for state; unset: SQLite in `WORKERS_HOME`"
    )
    source_url: SecretStr | None = Field(
        default=None, description="The database to export from; unset: the demo source"
    )
    datasets: Path = Field(
        default=PROJECT_ROOT / "datasets.toml", description="What may be exported: the declarations"
    )
    schedules: Path = Field(
        default=PROJECT_ROOT / "schedules.toml",
        description="Tasks that are submitted by the clock: the declarations",
    )
    results_url: str | None = Field(
        default=None,
        description="Where results lie: a folder, or s3://bucket/prefix; unset: in the home",
    )
    archives_url: str | None = Field(
        default=None,
        description="Where deleted rows are kept: a folder, or s3://bucket/prefix; unset: in the "
        "home",
    )
    mask_key: SecretStr | None = Field(
        default=None,
        min_length=LEAST_MASK_KEY_LENGTH,
        description="Secret under which masked values are hashed; unset: one made in the home",
    )
    api_host: str = Field(default="127.0.0.1", description="Address the API listens on")
    api_port: int = Field(default=8000, ge=1, le=MAX_PORT, description="Port of the API")
    ui_host: str = Field(default="127.0.0.1", description="Address Dagster's UI listens on")
    ui_port: int = Field(default=3000, ge=1, le=MAX_PORT, description="Port of Dagster's UI")
    public_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="Base of the URLs in answers; unset: the request's Host"
    )
    slots: int = Field(default=4, ge=1, le=64, description="Tasks that run at the same time")
    owner_slots: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Tasks of one owner that run at the same time; unset: all slots but one",
    )
    type_slots: Annotated[Mapping[str, int], NoDecode, BeforeValidator(_read_type_slots)] = Field(
        default={},
        description="Tasks of a type that run at the same time: bookings_export=2,users_export=1",
    )
    task_max_attempts: int = Field(
        default=3, ge=1, le=100, description="How often a task is tried whose process dies at work"
    )
    task_max_runtime: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(seconds=1),
        description="How long one attempt may work before it is stopped (ISO 8601 duration)",
    )
    result_retention: timedelta = Field(
        default=timedelta(days=7),
        gt=timedelta(0),
        description="How long a result can be fetched (ISO 8601 duration)",
    )
    task_retention: timedelta = Field(
        default=timedelta(days=90),
        ge=timedelta(days=1),
        description="How long a finished task is listed, and its run kept (ISO 8601 duration)",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log line that is written"
    )

    @field_validator("home", "datasets", "schedules")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value and with_driver(value.get_secret_value()).drivername != POSTGRESQL_DRIVER:
            msg = "must be a PostgreSQL URL; leave it unset to use SQLite in WORKERS_HOME"
            raise ValueError(msg)
        return value

    @field_validator("source_url")
    @classmethod
    def _is_supported(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not _is_source(with_driver(value.get_secret_value())):
            msg = "must be a PostgreSQL, MySQL or SQLite URL; leave it unset to use the demo source"
            raise ValueError(msg)
        return value

    @field_validator("results_url", "archives_url")
    @classmethod
    def _is_results_url(cls, value: str | None) -> str | None:
        if value and isinstance(parse_results_url(value), BucketLocation):
            check_environment(os.environ)
        return value

    @model_validator(mode="after")
    def _archives_lie_apart(self) -> Self:
        """Results are removed when they expire, and served; archives never are."""
        if _overlap(self.archives, self.results):
            msg = "WORKERS_ARCHIVES_URL and WORKERS_RESULTS_URL must not lie in one another"
            raise ValueError(msg)
        return self

    @property
    def slots_per_owner(self) -> int:
        """How many tasks of one owner run at once; by default a slot is left to the others."""
        return min(self.slots, self.owner_slots or max(1, self.slots - 1))

    @property
    def kept_for(self) -> timedelta:
        """How long a finished task is kept: at least as long as its result."""
        return max(self.task_retention, self.result_retention)

    @property
    def state_url(self) -> URL:
        """The database of tasks, tokens and Dagster's runs.

        On SQLite the file is the one in which Dagster keeps its runs: a run and its task
        change in one transaction.
        """
        if self.database_url:
            return with_driver(self.database_url.get_secret_value())
        return URL.create("sqlite", database=str(self.state_folder / "runs.db"))

    @property
    def state_folder(self) -> Path:
        """Where the embedded databases lie (SQLite only)."""
        return self.home / STATE_FOLDER

    @property
    def source(self) -> URL:
        """The database that is exported from."""
        if self.source_url:
            return with_driver(self.source_url.get_secret_value())
        return URL.create("sqlite", database=str(self.demo_source_path))

    @property
    def demo_source_path(self) -> Path:
        """Where the demo source lies or will lie."""
        return self.home / DEMO_SOURCE_NAME

    @property
    def results(self) -> Path | BucketLocation:
        """Where all results lie: ``<task id>/<run id>/<file>``."""
        return (
            parse_results_url(self.results_url) if self.results_url else self.home / RESULTS_FOLDER
        )

    @property
    def archives(self) -> Path | BucketLocation:
        """Where archives of deleted rows lie: ``<task id>/<run id>/<file>``."""
        if self.archives_url:
            return parse_results_url(self.archives_url)
        return self.home / ARCHIVES_FOLDER


@cache
def load_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        pydantic.ValidationError: A variable has an unusable value; it names the setting.
    """
    return Settings()
