"""What figures are made of: a row for each booking, payment and account, with what it refers to."""

from pipelines.insights.duck import Duck
from pipelines.insights.loaded import AT, Loaded
from pipelines.insights.lookups import KNOWN_BOOKINGS, KNOWN_SERVICES, KNOWN_USERS, PAYING
from pipelines.insights.needs import Needs

# Their columns: see the queries below. Those that nothing is known of are null, or false.
BOOKINGS = "booking_facts"
PAYMENTS = "payment_facts"
USERS = "user_facts"
SERVICES = "service_facts"  # key, as text; label: its name, or where it has none the key


# As `pipelines.report.content.shown` has it.
_CURRENCY_CHARACTERS = 120
_TURNING = r"[\x{202a}-\x{202e}\x{2066}-\x{2069}]"
_BLANK = r"[\s\p{Z}\x0b\x1c-\x1f\x{85}]+"
_UNFIT = r"\p{Cc}"


def make_facts(duck: Duck, needs: Needs) -> None:
    """Make the tables of this module, of the datasets that were loaded."""
    if needs.has("users"):
        duck.run(f"CREATE VIEW {USERS} AS SELECT {AT} FROM users")
    if needs.has("bookings"):
        duck.run(f"CREATE TABLE {BOOKINGS} AS {_bookings(needs)}")
    if needs.has("payments"):
        duck.run(f"CREATE TABLE {PAYMENTS} AS {_payments(needs)}")
    duck.run(
        f"CREATE VIEW {SERVICES} AS SELECT CAST(key AS VARCHAR) AS key, "
        f"coalesce(CAST(carried AS VARCHAR), CAST(key AS VARCHAR)) AS label FROM {KNOWN_SERVICES}"
    )


def _currency(loaded: Loaded) -> str:
    """SQL for the currency as it is shown; '' where there is none.

    What is shown alike is one currency: else the figures of one would stand for those of both.
    """
    name = f"coalesce({loaded.text('currency')}, '')"
    line = f"regexp_replace({name}, '{_TURNING}', '', 'g')"
    line = (
        f"regexp_replace(regexp_replace({line}, '{_BLANK}', ' ', 'g'), '{_UNFIT}', '\ufffd', 'g')"
    )
    line = f"trim(left(trim({line}), {_CURRENCY_CHARACTERS}))"
    return f"CASE WHEN regexp_full_match({name}, '[!-~]{{0,9}}') THEN {name} ELSE {line} END"


def _bookings(needs: Needs) -> str:
    bookings = needs.loaded["bookings"]
    user, service = bookings.role("user") or "NULL", bookings.role("service") or "NULL"
    follows_user = needs.missing_link("bookings", "user") is None
    follows_service = needs.missing_link("bookings", "service") is None
    follows_payment = needs.missing_link("payments", "booking") is None and needs.has(
        "payments.statuses.paid"
    )
    has_user = f"b.{user} = u.key" if follows_user else "false"
    has_service, is_paid_for = "true", "true"
    if follows_service:
        has_service = f"b.{service} IS NULL OR b.{service} IN (SELECT key FROM {KNOWN_SERVICES})"
    if follows_payment and bookings.key is not None:
        is_paid_for = f"b.{bookings.sql(bookings.key)} IN ({_paying(needs)})"
    return (
        f"SELECT b.{AT} AS {AT}, {bookings.text('status')} AS status, "
        f"{bookings.means('cancelled')} AS cancelled, {bookings.means('paid')} AS claims_paid, "
        f"{is_paid_for} AS is_paid_for, {bookings.amount()} AS amount, "
        f"{_currency(bookings)} AS currency, "
        f"{bookings.text('user')} AS booker, u.key IS NOT NULL AS has_user, u.carried AS user_at, "
        f"{bookings.text('service')} AS service, ({has_service}) AS has_service "
        f"FROM bookings b LEFT JOIN {KNOWN_USERS} u ON {has_user}"
    )


def _paying(needs: Needs) -> str:
    """SQL for the keys of the bookings that were paid for, refunded since or not."""
    payments = needs.loaded["payments"]
    paid = (payments.means(meaning, "carried") for meaning in ("paid", "refunded"))
    return f"SELECT key FROM {PAYING} WHERE {' OR '.join(paid)}"


def _payments(needs: Needs) -> str:
    payments = needs.loaded["payments"]
    booking = payments.role("booking")
    follows = needs.missing_link("payments", "booking") is None
    same = f"p.{booking} = k.key" if follows else "false"
    return (
        f"SELECT p.{AT} AS {AT}, {payments.means('paid')} AS paid, "
        f"{payments.means('refunded')} AS refunded, {payments.amount()} AS amount, "
        f"{_currency(payments)} AS currency, "
        f"{payments.text('method')} AS method, p.{booking or AT} IS NOT NULL AS refers, "
        f"k.key IS NOT NULL AS has_booking, CAST(k.carried AS VARCHAR) AS service "
        f"FROM payments p LEFT JOIN {KNOWN_BOOKINGS} k ON {same}"
    )
