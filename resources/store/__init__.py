"""The task store: tasks and tokens, in SQLite or PostgreSQL, the same to all who use it."""
