"""Tasks that are submitted by the clock, as ``schedules.toml`` declares them. No Dagster here."""
