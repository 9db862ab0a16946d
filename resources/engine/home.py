"""Makes Dagster's home and all tables ready, before any part of the service starts."""

import shutil

from dagster import DagsterInstance

from resources.archives.store import archive_store
from resources.engine.storage import WorkersStorage, state_engine
from resources.results.factory import result_store
from resources.settings import PROJECT_ROOT, Settings
from resources.source.masking import load_masking
from resources.store.migrate import migrate

DAGSTER_YAML = "dagster.yaml"


def prepare_home(settings: Settings) -> None:
    """Write dagster.yaml and a key for masks into the home; make all other folders and tables.

    One process does this before the others start: Dagster's own creation of tables does not bear
    being done by two at once. Doing it again changes nothing.

    Raises:
        Unavailable: The database does not answer, or one of the folders cannot be made.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(PROJECT_ROOT / DAGSTER_YAML, settings.home / DAGSTER_YAML)
    load_masking(settings)  # makes the key, so that no run has to write into the home
    result_store(settings).prepare()
    archive_store(settings).prepare()
    migrate(state_engine())
    WorkersStorage.creates_tables = True
    with DagsterInstance.from_config(str(settings.home)) as instance:
        present, newest = instance.run_storage.alembic_version() or (None, None)
        if present != newest:
            instance.upgrade()
