"""The Dagster code location: one module for each kind of job. Knows no HTTP."""
