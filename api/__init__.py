"""The Falcon application: HTTP in, a row in the task store, HTTP out. Knows no Dagster."""
