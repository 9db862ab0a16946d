"""Makes Dagster's home and all tables ready, before any part of the service starts."""

import shutil

from dagster import DagsterInstance

from resources.engine.storage import state_engine
from resources.settings import PROJECT_ROOT, Settings
from resources.store.migrate import migrate

DAGSTER_YAML = "dagster.yaml"


def prepare_home(settings: Settings) -> None:
    """Write dagster.yaml into the home; create or upgrade our tables and Dagster's.

    One process does this before the others start: Dagster's own creation of tables does not bear
    being done by two at once. Doing it again changes nothing.

    Raises:
        Unavailable: The database does not answer.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(PROJECT_ROOT / DAGSTER_YAML, settings.home / DAGSTER_YAML)
    migrate(state_engine())
    with DagsterInstance.from_config(str(settings.home)) as instance:
        present, newest = instance.run_storage.alembic_version() or (None, None)
        if present != newest:
            instance.upgrade()
