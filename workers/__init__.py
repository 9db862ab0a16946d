"""The command line: starts the service's parts, looks after them, manages tokens."""
