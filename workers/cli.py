"""The command line ``workers``."""

import logging
import os
import sys
from datetime import timedelta
from typing import Any

import click
from pydantic import ValidationError

from resources.demo_source import create_demo_source
from resources.errors import WorkersError
from resources.settings import Settings, load_settings
from resources.store.database import connect
from resources.store.migrate import migrate as migrate_store
from resources.store.models import Role
from resources.store.tokens import TokenStore
from resources.timestamps import parse_duration, to_rfc3339
from workers.check import check_datasets, check_schedules, tell
from workers.up import run_service

# Digests of tokens and exported data are nobody else's business on this machine.
PRIVATE = 0o077
DEMO_BOOKINGS = 200_000
CHECK_SECONDS = 300
ROLES = [role.value for role in Role]


class _Duration(click.ParamType[timedelta]):
    """A length of time: a number and a unit."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Runs data-processing tasks over REST. Settings are WORKERS_* variables; see the README."""


@cli.command()
def up() -> None:
    """Start everything: API, Dagster and its UI. Ctrl-C stops it."""
    run_service(load_settings())


@cli.command()
def migrate() -> None:
    """Make the home, and bring the task database and Dagster's up to date."""
    # Dagster takes seconds to import; the other commands do without it.
    from resources.engine.home import prepare_home  # noqa: PLC0415

    prepare_home(load_settings())


@cli.command()
@click.option(
    "--bookings", type=click.IntRange(1), default=DEMO_BOOKINGS, show_default=True, help="How many."
)
def seed(bookings: int) -> None:
    """Make the demo source anew: users, services, bookings and payments, in SQLite."""
    path = load_settings().demo_source_path
    create_demo_source(path, bookings=bookings)
    click.echo(path)


@cli.command("init")
@click.option(
    "--source", metavar="URL", help="The database to look at. Default: WORKERS_SOURCE_URL."
)
@click.option(
    "--output", metavar="PATH", help='Where to write; "-" prints it. Default: WORKERS_DATASETS.'
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init_datasets(source: str | None, output: str | None, force: bool) -> None:  # noqa: FBT001
    """Write a first datasets.toml by a look at a database, and say what was guessed."""
    from workers.init import write_first_datasets  # noqa: PLC0415 - it loads Arrow

    settings = load_settings()
    write_first_datasets(settings, source, output or str(settings.datasets), force=force)


@cli.command()
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=CHECK_SECONDS,
    show_default=True,
    help="The longest that a look may take, in seconds; trying a key reads a whole table.",
)
def check(timeout: int) -> None:
    """Hold datasets.toml and schedules.toml against the source; exit code 1 when one misfits."""
    settings = load_settings()
    checked = check_datasets(settings.datasets, settings.source, timeout)
    clock = check_schedules(settings.schedules, settings.datasets, settings.source, timeout)
    checked.schedules, checked.off = clock.schedules, clock.off
    checked.findings += clock.findings
    tell(checked)
    sys.exit(1 if checked.findings else 0)


@cli.command("restore")
@click.argument("task_id", metavar="TASK_ID", type=click.IntRange(1))
def restore_rows(task_id: int) -> None:
    """Put back the rows that the cleanup TASK_ID has deleted; exit code 1 where some are not."""
    from workers.restore import restore_archive  # noqa: PLC0415 - it loads Arrow

    sys.exit(0 if restore_archive(load_settings(), task_id) else 1)


@cli.group()
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command("create")
@click.argument("owner")
@click.option("--role", type=click.Choice(ROLES), default=Role.USER.value, show_default=True)
@click.option("--expires", type=_Duration(), help="How long it works, such as 30d. Default: ever.")
def create_token(owner: str, role: str, expires: timedelta | None) -> None:
    """Make a token for OWNER and print it, alone. It is not shown again."""
    click.echo(_tokens().create(owner, Role(role), expires_in=expires))


@token.command("list")
def list_tokens() -> None:
    """List all tokens, without their secrets."""
    click.echo(f"{'ID':>5}  {'STATE':8} {'ROLE':6} {'EXPIRES':20}  OWNER")
    for each in _tokens().list():
        expires = to_rfc3339(each.expires_at.replace(microsecond=0)) if each.expires_at else "never"
        click.echo(f"{each.id:>5}  {each.state:8} {each.role:6} {expires:20}  {each.owner}")


@token.command("revoke")
@click.argument("token_id", metavar="ID", type=int)
def revoke_token(token_id: int) -> None:
    """Stop the token with this ID (see "workers token list") from working."""
    _tokens().revoke(token_id)
    click.echo(f"Token {token_id} no longer works.")


def _tokens() -> TokenStore:
    engine = connect(load_settings().state_url)
    migrate_store(engine)
    return TokenStore(engine)


def main() -> None:
    """Run the command line; what goes wrong is one line for each finding, and exit code 1."""
    os.umask(PRIVATE)
    logging.basicConfig(format="Warning: %(message)s")
    try:
        cli()
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        for each in error.errors(include_input=False):
            name = "_".join(["workers", *(str(step) for step in each["loc"])]).upper()
            click.echo(f"Error: {name}: {each['msg']}", err=True)
        sys.exit(1)
    except WorkersError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
