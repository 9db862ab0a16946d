"""A task store that has been in use: many tasks, of many owners."""

from sqlalchemy import Engine, text

from resources.store.tables import tasks

OWNERS = 1_000
# Every tenth task is the first owner's; the others share the rest evenly.
_BUSY_ONE_IN = 10

# The tasks of two years, of which most are over: 2 in 100 wait or are at work.
_FILL = text(
    f"""
    INSERT INTO tasks (owner, task_type, status, batch_size, filters, date_from, date_to, options,
        fingerprint, request_id, run_id, attempt, processed, total, result, error,
        created_at, updated_at, handed_over_at, started_at, heartbeat_at, finished_at,
        cancel_requested_at, swept_at)
    SELECT 'owner-' ||
        CASE WHEN i % {_BUSY_ONE_IN} = 0 THEN 1 ELSE 2 + (i / 10 + i) % {OWNERS - 1} END,
        task_type, status, 1000, '{{"status": "confirmed"}}',
        '2024-01-01T00:00:00Z', '2024-12-31T23:59:59Z', '{{"format": "parquet"}}',
        repeat(md5(CAST(i AS text)), 2), CAST(run_id AS text), CAST(run_id AS text), 1,
        CASE WHEN started_at IS NULL THEN 0 ELSE 5000 END,
        CASE WHEN started_at IS NULL THEN NULL ELSE 5000 END,
        CASE WHEN status = 'completed' THEN jsonb_build_object('rows', 5000, 'bytes', 250000,
            'files', 1, 'folder', i || '/' || run_id) END,
        CASE WHEN status = 'failed' THEN CAST('{{"code": "source_unavailable",
            "detail": "Submit the task again later.", "retryable": true}}' AS jsonb) END,
        created_at, coalesce(finished_at, started_at, created_at), created_at, started_at,
        started_at, finished_at, CASE WHEN status = 'cancelled' THEN finished_at END, finished_at
    FROM (
        SELECT i, gen_random_uuid() AS run_id, task_type, status, created_at,
            CASE WHEN status <> 'pending' THEN created_at + interval '1 second' END AS started_at,
            CASE WHEN status NOT IN ('pending', 'processing')
                THEN created_at + interval '20 seconds' END AS finished_at
        FROM (
            SELECT i,
                (ARRAY['bookings_export', 'payments_export', 'users_export', 'services_export'])
                    [1 + (i * 7919) / 100 % 4] AS task_type,
                CASE WHEN chance < 1 THEN 'pending' WHEN chance < 2 THEN 'processing'
                    WHEN chance < 8 THEN 'failed' WHEN chance < 12 THEN 'cancelled'
                    ELSE 'completed' END AS status,
                now() - (:tasks - i) * interval '1 minute' AS created_at
            FROM (SELECT i, random() * 100 AS chance
                FROM generate_series(CAST(1 AS bigint), :tasks) AS i) AS numbers
        ) AS kinds
    ) AS timed
    """
)


def fill(engine: Engine, count: int) -> None:
    """Add so many tasks to an empty store on PostgreSQL, the newest made just now."""
    indexes = sorted(tasks.indexes, key=lambda index: str(index.name))
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for index in indexes:  # made afterwards they take a fraction of the time
            index.drop(connection)
        connection.execute(_FILL, {"tasks": count})
        for index in indexes:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE tasks"))
        connection.invalidate()
