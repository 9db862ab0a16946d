"""Dagster's web server: ``python -m resources.engine.ui``, with the options of its own command."""

from dagster_webserver.cli import main

from resources.engine.watching import watch_seldom

if __name__ == "__main__":
    watch_seldom()
    main()  # type: ignore[no-untyped-call]
