"""What a user of stock Dagster would write for the same task, and the stack that runs it."""
