"""Takes away what the service stands on, and gives it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, text


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    """``engine``, its connections closed at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """The file or folder ``path`` lies elsewhere while inside."""
    path = path.resolve()
    away = path.with_name(path.name + ".away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def shut(server: URL, url: URL) -> Iterator[None]:
    """Nobody reaches the PostgreSQL database ``url`` while inside."""
    allow = f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS '
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    with disposed(create_engine(server, isolation_level="AUTOCOMMIT")) as admin:
        with admin.connect() as connection:
            connection.execute(text(allow + "false"))
            connection.execute(text(end), {"name": url.database})
        try:
            yield
        finally:
            with admin.connect() as connection:
                connection.execute(text(allow + "true"))
