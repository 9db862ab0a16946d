"""What loaded rows refer to outside of what was loaded, looked up in the same snapshot.

Few are asked for by their keys, a thousand at a time; of many, the whole table is read, but no more
than two columns of it: without an index each question would read it too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
from sqlalchemy import Connection

from pipelines.insights.duck import Duck
from pipelines.insights.loaded import AT, Loaded
from pipelines.insights.needs import Needs
from pipelines.insights.zones import instants
from resources.source.columns import Column
from resources.source.filters import MAX_LIST_LENGTH, Condition, Operator
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import arrow_schema, read_batches

# Nothing that is masked is read.
NO_MASKING = Masking(b"")
# How many are asked for by their keys, at most.
MOST_ASKED = 10 * MAX_LIST_LENGTH
_BATCH_ROWS = 100_000

# What there is afterwards, each with the columns "key" and "carried".
KNOWN_BOOKINGS = "known_bookings"  # carried: the service's key
KNOWN_USERS = "known_users"  # carried: when the account was made, as `AT`
KNOWN_SERVICES = "known_services"  # carried: the name
PAYING = "paying"  # key: the booking's, once for each payment; carried: the payment's status


@dataclass(frozen=True)
class _Reference:
    """What is referred to.

    Attributes:
        table: What it is called in DuckDB.
        target: The dataset that has it.
        key: The column that is compared.
        carried: What is read besides; None: nothing.
        wanted: SQL for the keys that are referred to, as ``key``.
        settled: SQL for whether a loaded row settles its key, so that no other is looked for.
    """

    table: str
    target: Loaded
    key: Column
    carried: Column | None
    wanted: str
    settled: str = "true"

    @property
    def columns(self) -> list[Column]:
        """What is read."""
        named = {each.name: each for each in (self.key, self.carried) if each is not None}
        return list(named.values())

    @property
    def carries_dates(self) -> bool:
        """Whether instants are carried, and not the column as it is."""
        return self.carried is not None and self.carried == self.target.dataset.date_column

    @property
    def as_loaded(self) -> str:
        """SQL for what was loaded of it."""
        key = self.target.sql(self.key)
        if self.carried is None:
            carried = "NULL"
        else:
            carried = AT if self.carries_dates else self.target.sql(self.carried)
        name = self.target.dataset.name
        return f"SELECT {key} AS key, {carried} AS carried FROM {name}"


@dataclass(frozen=True)
class Lookups:
    """Looks up what the loaded rows refer to, as far as it can be followed."""

    connection: Connection
    duck: Duck
    needs: Needs

    def look_up(self) -> None:
        """Make the tables that are named in this module, empty ones where nothing can be known.

        Raises:
            TaskFailed, SourceUnavailable, AttemptSuperseded: As in loading.
        """
        self._make(KNOWN_BOOKINGS, self._bookings())
        self._make(KNOWN_USERS, self._users())
        self._make(KNOWN_SERVICES, self._services())
        self._make(PAYING, self._payments())

    def _bookings(self) -> _Reference | None:
        if self.needs.missing_link("payments", "booking"):
            return None
        payments, bookings = self.needs.loaded["payments"], self.needs.loaded["bookings"]
        carried = bookings.dataset.roles.get("service")
        wanted = f"SELECT {payments.role('booking')} AS key FROM payments"
        return _reference(KNOWN_BOOKINGS, bookings, carried, wanted)

    def _users(self) -> _Reference | None:
        if self.needs.missing_link("bookings", "user"):
            return None
        bookings, users = self.needs.loaded["bookings"], self.needs.loaded["users"]
        wanted = f"SELECT {bookings.role('user')} AS key FROM bookings"
        return _reference(KNOWN_USERS, users, users.dataset.date_column, wanted)

    def _services(self) -> _Reference | None:
        if self.needs.missing_link("bookings", "service"):
            return None
        bookings, services = self.needs.loaded["bookings"], self.needs.loaded["services"]
        wanted = (
            f"SELECT {bookings.role('service')} AS key FROM bookings "
            f"UNION ALL SELECT carried FROM {KNOWN_BOOKINGS}"
        )
        carried = services.dataset.roles.get("name")
        return _reference(KNOWN_SERVICES, services, carried, wanted)

    def _payments(self) -> _Reference | None:
        needs = ("bookings.statuses.paid", "payments.statuses.paid")
        if self.needs.missing_link("payments", "booking") or self.needs.missing(*needs):
            return None
        payments, bookings = self.needs.loaded["payments"], self.needs.loaded["bookings"]
        assert bookings.key is not None  # noqa: S101 - there is a link
        return _Reference(
            PAYING,
            payments,
            payments.dataset.roles["booking"],
            payments.dataset.roles["status"],
            f"SELECT {bookings.sql(bookings.key)} AS key FROM bookings "
            f"WHERE {bookings.means('paid')}",
            f"{payments.means('paid')} OR {payments.means('refunded')}",
        )

    def _make(self, table: str, reference: _Reference | None) -> None:
        if reference is None:
            self.duck.run(f"CREATE TABLE {table} (key BIGINT, carried BIGINT)")
            return
        known = reference.as_loaded
        if not reference.target.is_whole:
            known = self._with_others(reference)
        self.duck.run(f"CREATE VIEW {table} AS SELECT * FROM ({known}) WHERE key IS NOT NULL")

    def _with_others(self, reference: _Reference) -> str:
        """SQL for what was loaded and what had to be looked up."""
        wanted, others = f"{reference.table}_wanted", f"{reference.table}_others"
        name, key = reference.target.dataset.name, reference.target.sql(reference.key)
        self.duck.run(
            f"CREATE TABLE {wanted} AS SELECT DISTINCT key FROM ({reference.wanted}) w "
            f"WHERE key IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {name} t WHERE t.{key} = w.key AND ({reference.settled}))"
        )
        ((count,),) = self.duck.rows(f"SELECT count(*) FROM {wanted}")
        schema = _schema(reference)
        self.duck.make_table(others, schema)
        is_asked = count <= MOST_ASKED
        selections = self._asked(reference, wanted) if is_asked else [_all(reference)]
        for selection in selections:
            rows = read_batches(self.connection, selection, _BATCH_ROWS, NO_MASKING, count)
            for batch in rows:
                self.duck.append(others, _carried(reference, batch, schema))
        return f"{reference.as_loaded} UNION ALL FROM {others}" if is_asked else f"FROM {others}"

    def _asked(self, reference: _Reference, wanted: str) -> Iterator[Selection]:
        keys = [key for (key,) in self.duck.rows(f"SELECT key FROM {wanted} ORDER BY key")]
        for start in range(0, len(keys), MAX_LIST_LENGTH):
            some = tuple(keys[start : start + MAX_LIST_LENGTH])
            condition = Condition(reference.key, Operator.ANY_OF, some)
            yield replace(_all(reference), conditions=[condition])


def _reference(table: str, target: Loaded, carried: Column | None, wanted: str) -> _Reference:
    assert target.key is not None  # noqa: S101 - there is a link
    return _Reference(table, target, target.key, carried, wanted)


def _all(reference: _Reference) -> Selection:
    return Selection(reference.target.dataset, reference.columns, [], None, None)


def _schema(reference: _Reference) -> pa.Schema:
    types = arrow_schema(reference.columns).types
    carried = pa.int64() if reference.carried is None or reference.carries_dates else types[-1]
    return pa.schema([pa.field("key", types[0]), pa.field("carried", carried)])


def _carried(reference: _Reference, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """What was read, as `_schema` has it."""
    key, carried = batch.column(0), batch.column(batch.num_columns - 1)
    if reference.carried is None:
        carried = pa.nulls(batch.num_rows, pa.int64())
    elif reference.carries_dates:
        zone = str(reference.target.dataset.zone)
        carried = instants(carried, reference.carried.kind, zone)
    return pa.RecordBatch.from_arrays([key, carried], schema=schema)
