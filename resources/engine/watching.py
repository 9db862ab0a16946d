"""How often Dagster's processes ask the code server whether it is still the same."""

from dagster._grpc import server_watcher

# Stock asks every second, from each process, which is nearly half of what the service does while
# nothing is to do. Nothing waits for it here: a run's launch asks by itself.
WATCH_SECONDS = 5


def watch_seldom() -> None:
    """Have this process ask less often. Dagster has no setting for it."""
    server_watcher.WATCH_INTERVAL = WATCH_SECONDS
