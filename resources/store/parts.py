"""Which parts of the service are alive: each says so every few seconds."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, insert, select, update

from resources.store.database import read_transaction, write_transaction
from resources.store.tables import parts
from resources.timestamps import now

DISPATCHER = "dispatcher"


@dataclass(frozen=True)
class PartStore:
    """Signs of life of the service's parts."""

    engine: Engine

    def seen(self, name: str) -> None:
        """Note that part ``name`` is alive."""
        with write_transaction(self.engine) as connection:
            at = now()
            known = connection.execute(update(parts).where(parts.c.name == name).values(seen_at=at))
            if known.rowcount == 0:
                connection.execute(insert(parts).values(name=name, seen_at=at))

    def is_alive(self, name: str, within: timedelta) -> bool:
        """Whether part ``name`` was seen in the last ``within``."""
        with read_transaction(self.engine) as connection:
            seen_at = connection.scalar(select(parts.c.seen_at).where(parts.c.name == name))
        return seen_at is not None and seen_at > now() - within
