"""The demo source: a SQLite file with two years of a made-up booking company.

Four tables, ``users``, ``services``, ``bookings`` and ``payments``, filled from a seed: the same
seed and number of bookings always give the same rows. All timestamps are UTC texts of the form
``YYYY-MM-DD HH:MM:SS``; all prices, totals and amounts are in units of their ``currency``, with at
most two decimals.

The rows belong together: users and services exist before they are used, a booking starts after it
is made, and nothing is dated after the end of 2025 except the starts of bookings still to come.

Oddities, kept on purpose because real tables have them:

* ``bookings.note`` is mostly NULL, sometimes an empty string, and otherwise text with quotes,
  commas, line breaks, emoji or non-Latin letters.
* About a third of the bookings whose start has passed were never closed by the provider and are
  still ``confirmed`` or ``pending``.
* A refund is a payment row of its own, with a positive amount and status ``refunded``; the row
  that was paid before stays ``paid``.
* Some users never booked, some have no phone, some services are no longer active, and the users
  are there a year before the first booking.
"""

import calendar
import heapq
import math
import os
import random
import re
import secrets
import sqlite3
import time
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, timedelta
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

# Moments are whole seconds since 1970 (UTC) in Python; SQLite turns them into text on insert.
_HOUR = 3600
_DAY = 24 * _HOUR
_QUARTER = _HOUR // 4

_FIRST_USER_DAY = date(2023, 1, 1)
_FIRST_BOOKING_DAY = date(2024, 1, 1)
_LAST_DAY = date(2025, 12, 31)


def _midnight(day: date) -> int:
    return calendar.timegm(day.timetuple())


_LAST_MOMENT = _midnight(_LAST_DAY) + _DAY - 1

# How busy a day is: by weekday (Monday first), by month (January first), and by growth, which
# makes the last day of a period so many times as busy as its first.
_WEEKDAY_WEIGHTS = (1.0, 0.92, 0.95, 1.05, 1.25, 1.4, 0.8)
_MONTH_WEIGHTS = (0.9, 0.85, 0.95, 1.0, 1.1, 1.2, 1.25, 1.15, 1.0, 0.95, 0.9, 1.1)
_GROWTH = 2.2
# Busy hours: few at night, a peak before noon and a higher one in the evening (UTC).
_HOUR_WEIGHTS = (
    2, 1, 1, 1, 1, 3, 8, 18, 34, 48, 55, 52,
    46, 42, 40, 42, 48, 58, 66, 64, 50, 32, 16, 6,
)  # fmt: skip

_MIN_USERS = 50
_BOOKINGS_PER_USER = 10
# How far users differ in how much they book: the standard deviation of its logarithm.
_EAGERNESS_SPREAD = 1.1
_PHONE_SHARE = 0.75
_CONSENT_SHARE = 0.42
_EMAIL_DOMAINS = ("example.com", "example.com", "example.org", "example.net")

_PENDING = "pending"
_CONFIRMED = "confirmed"
_CANCELLED = "cancelled"
_COMPLETED = "completed"
# Shares of a month's bookings; the rest is completed. Each month departs from them a little.
_OPEN_SHARES = {_CONFIRMED: 0.24, _CANCELLED: 0.12, _PENDING: 0.08}
_SHARE_JITTER = 0.12

_MEAN_LEAD_DAYS = 9
_MAX_LEAD_DAYS = 90
_OPENING_QUARTER = 8 * 4
_CLOSING_QUARTER = 20 * 4
_MAX_CONFIRMING = 2 * _DAY
_MAX_CLOSING = 2 * _HOUR
_GUESTS = (1, 2, 3, 4, 5, 6)
_GUEST_WEIGHTS = (44, 32, 9, 9, 3, 3)

_NOTE_SHARE = 0.18
_NOTES = (
    "",
    "",
    "",
    "First visit, please call on arrival",
    'Prefers "the quiet room", if free',
    "Allergic to nuts, latex; no perfume",
    "Birthday surprise 🎉 - don't tell her!",
    "Two things:\n1. we may be late\n2. is there parking?",
    "Line one\r\nLine two, from a Windows form",
    "Gift voucher 'SUMMER, 2 for 1'",
    "Bitte Rückruf, danke schön",
    "Нужен переводчик",
    "Wheelchair access needed",
    "  spaces around  ",
    "C:\\vouchers\\2024; 50% off",
    "👩‍👧 mother and daughter",
    "tab\tseparated",
)

_PAID = "paid"
_REFUNDED = "refunded"
_FAILED = "failed"
# Share of the bookings in each status that were paid.
_PAID_SHARES = {_COMPLETED: 1.0, _CONFIRMED: 0.7, _CANCELLED: 0.5, _PENDING: 0.0}
# Of the unpaid ones, some have a single payment that did not go through, in one of these states.
_UNPAID_ROW_SHARE = 0.2
_UNPAID_STATES = {
    _CONFIRMED: (_PENDING,),
    _CANCELLED: (_FAILED,),
    _PENDING: (_PENDING, _FAILED),
}
_ON_SITE_SHARE = 0.25
_FAILED_FIRST_SHARE = 0.06
_REFUND_SHARE = 0.75
_ONLINE_METHODS = ("card", "card", "card", "paypal", "apple_pay", "google_pay", "bank_transfer")
_ON_SITE_METHODS = ("card", "card", "cash")
_MAX_CHECKOUT = _HOUR // 4
_MAX_CHARGING = 60
_MAX_REFUNDING = 5 * _DAY

_TABLES = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    phone TEXT,
    country TEXT NOT NULL,
    locale TEXT NOT NULL,
    marketing_consent BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE services (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    category TEXT NOT NULL,
    duration_minutes INTEGER NOT NULL,
    price NUMERIC(10, 2) NOT NULL,
    currency TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE bookings (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id),
    service_id INTEGER NOT NULL REFERENCES services(id),
    status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled', 'completed')),
    starts_at TIMESTAMP NOT NULL,
    guests INTEGER NOT NULL,
    total NUMERIC(10, 2) NOT NULL,
    currency TEXT NOT NULL,
    note TEXT,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    booking_id INTEGER NOT NULL REFERENCES bookings(id),
    amount NUMERIC(10, 2) NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('paid', 'refunded', 'failed', 'pending')),
    paid_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL
);
"""

_INDEXES = """
CREATE INDEX ix_users_created_at ON users (created_at);
CREATE INDEX ix_bookings_created_at ON bookings (created_at);
CREATE INDEX ix_bookings_user_id ON bookings (user_id);
CREATE INDEX ix_bookings_service_id ON bookings (service_id);
CREATE INDEX ix_payments_booking_id ON payments (booking_id);
CREATE INDEX ix_payments_created_at ON payments (created_at);
"""

_INSERT_USER = """
INSERT INTO users (id, email, full_name, phone, country, locale, marketing_consent, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, datetime(?, 'unixepoch'))
"""
_INSERT_SERVICE = """
INSERT INTO services (id, name, category, duration_minutes, price, currency, active, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, datetime(?, 'unixepoch'))
"""
_INSERT_BOOKING = """
INSERT INTO bookings
    (user_id, service_id, status, guests, total, currency, note, starts_at, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?,
    datetime(?, 'unixepoch'), datetime(?, 'unixepoch'), datetime(?, 'unixepoch'))
"""
_INSERT_PAYMENT = """
INSERT INTO payments (created_at, booking_id, status, amount, currency, method, paid_at)
VALUES (datetime(?, 'unixepoch'), ?, ?, ?, ?, ?, datetime(?, 'unixepoch'))
"""
_SELECT_BOOKED = """
SELECT id, status, total, currency,
    CAST(strftime('%s', starts_at) AS INTEGER),
    CAST(strftime('%s', created_at) AS INTEGER),
    CAST(strftime('%s', updated_at) AS INTEGER)
FROM bookings ORDER BY id
"""


class _Market(NamedTuple):
    """A country the users come from; ``weight`` is its share relative to the others.

    The names are separated by blanks.
    """

    country: str
    locale: str
    dialling_code: str
    weight: int
    given_names: str
    family_names: str


_MARKETS = (
    _Market(
        "DE", "de-DE", "+49", 24,
        "Anna Lena Julia Sabine Petra Laura Jonas Lukas Felix Thomas Stefan Jörg Jürgen Moritz",
        "Schmidt Fischer Weber Wagner Becker Hoffmann Koch Richter Klein Wolf Müller Groß Vogel",
    ),
    _Market(
        "GB", "en-GB", "+44", 16,
        "Olivia Emily Sophie Grace Chloe Harriet Oliver George Harry Jack Thomas Callum Priya",
        "Smith Jones Taylor Brown Wilson Evans Walker Wright Hughes Patel Green Lloyd-Baker",
    ),
    _Market(
        "FR", "fr-FR", "+33", 12,
        "Camille Manon Claire Julie Sarah Louise Hugo Louis Nathan Antoine Zoë François Théo",
        "Martin Bernard Dubois Thomas Robert Petit Durand Moreau Laurent Simon Lefèvre D'Almeida",
    ),
    _Market(
        "US", "en-US", "+1", 11,
        "Emma Ava Mia Madison Ashley Jessica Noah Liam Ethan Mason Tyler Jordan Brandon",
        "Johnson Williams Miller Davis Garcia Anderson Jackson White Harris Clark Lewis Nguyen",
    ),
    _Market(
        "ES", "es-ES", "+34", 9,
        "Carmen Marta Elena Paula Alba Laura Pablo Javier Carlos Diego Sergio José Íñigo",
        "Garcia Lopez Sanchez Romero Navarro Torres Ramos Ortega Castro Muñoz Ibáñez",
    ),
    _Market(
        "IT", "it-IT", "+39", 8,
        "Giulia Chiara Martina Francesca Elisa Sofia Marco Luca Matteo Andrea Davide Niccolò",
        "Rossi Russo Ferrari Bianchi Romano Colombo Ricci Marino Greco Conti D'Angelo",
    ),
    _Market(
        "NL", "nl-NL", "+31", 6,
        "Sanne Lotte Fleur Eva Anouk Femke Daan Bram Sem Thijs Ruben Jeroen",
        "Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker",
    ),
    _Market(
        "PL", "pl-PL", "+48", 5,
        "Anna Maria Katarzyna Magdalena Piotr Krzysztof Tomasz Marek Łukasz Michał Małgorzata",
        "Nowak Kowalski Mazur Krawczyk Zawadzki Baran Pietrzak Wójcik Wróbel Dąbrowski",
    ),
    _Market(
        "IE", "en-IE", "+353", 4,
        "Aoife Niamh Ciara Saoirse Orla Conor Sean Patrick Cian Declan Siobhán",
        "Murphy Kelly O'Brien O'Sullivan Walsh Byrne Ryan Doyle McCarthy Gallagher",
    ),
    _Market(
        "SE", "sv-SE", "+46", 3,
        "Elsa Astrid Maja Ebba Karin Erik Oskar Lars Nils Björn Åsa",
        "Andersson Johansson Karlsson Nilsson Eriksson Larsson Svensson Lindqvist Öberg",
    ),
    _Market(
        "UA", "uk-UA", "+380", 2,
        "Анна Олена Марія Ірина Андрій Олександр Дмитро Сергій",
        "Шевченко Коваленко Бондаренко Ткаченко Мельник Кравченко",
    ),
)  # fmt: skip

# Letters that do not fall apart into an ASCII letter and an accent.
_ASCII_LETTERS = str.maketrans({"ł": "l", "ß": "ss", "'": ""})


class _Offer(NamedTuple):
    """A service as the catalogue lists it; ``popularity`` is relative to the other offers."""

    category: str
    name: str
    minutes: int
    cents: int
    currency: str
    max_guests: int
    popularity: int


_CATALOGUE = (
    _Offer("wellness", "Swedish massage", 60, 6900, "EUR", 2, 60),
    _Offer("wellness", "Deep tissue massage", 75, 8450, "EUR", 1, 42),
    _Offer("wellness", "Hot stone massage", 90, 9900, "EUR", 2, 22),
    _Offer("wellness", "Thai massage", 60, 7200, "EUR", 2, 30),
    _Offer("wellness", "Private sauna", 120, 5400, "EUR", 6, 18),
    _Offer("wellness", "Float tank session", 60, 6500, "GBP", 1, 9),
    _Offer("beauty", "Haircut short", 30, 3200, "EUR", 1, 90),
    _Offer("beauty", "Haircut long", 60, 5800, "EUR", 1, 70),
    _Offer("beauty", "Colour & highlights", 150, 12950, "EUR", 1, 28),
    _Offer("beauty", "Classic manicure", 45, 2990, "EUR", 1, 46),
    _Offer("beauty", "Facial treatment", 60, 6490, "GBP", 1, 25),
    _Offer("fitness", "Yoga class", 75, 1450, "EUR", 4, 85),
    _Offer("fitness", "Pilates reformer class", 55, 2200, "EUR", 2, 48),
    _Offer("fitness", "Personal training", 60, 5500, "EUR", 1, 30),
    _Offer("fitness", "Spinning class", 45, 1290, "EUR", 4, 36),
    _Offer("fitness", "Indoor climbing intro", 120, 3950, "EUR", 6, 16),
    _Offer("fitness", "Padel court", 90, 3600, "EUR", 4, 34),
    _Offer("health", "Dental check-up", 30, 4800, "EUR", 1, 40),
    _Offer("health", "Teeth cleaning", 45, 8900, "EUR", 1, 38),
    _Offer("health", "Physiotherapy", 40, 4250, "EUR", 1, 44),
    _Offer("health", "Osteopathy consultation", 50, 7900, "GBP", 1, 14),
    _Offer("health", "Eye test", 25, 2500, "GBP", 1, 20),
    _Offer("tours", "Old town city tour", 120, 1900, "EUR", 6, 64),
    _Offer("tours", "Street food tour", 180, 6750, "EUR", 6, 30),
    _Offer("tours", "Evening boat trip", 90, 3490, "EUR", 6, 33),
    _Offer("tours", "Bike tour along the river", 150, 2950, "EUR", 6, 24),
    _Offer("tours", "Museum highlights, guided", 90, 2400, "EUR", 6, 20),
    _Offer("tours", "Brooklyn walking tour", 120, 3900, "USD", 6, 17),
    _Offer("photography", "Family photo session", 60, 14900, "EUR", 6, 12),
    _Offer("photography", "Passport photos", 15, 1500, "EUR", 4, 26),
    _Offer("photography", "Business portrait", 45, 11900, "USD", 1, 11),
    _Offer("photography", "Newborn photo session", 120, 22500, "USD", 4, 5),
    _Offer("lessons", "Guitar lesson", 45, 3400, "EUR", 1, 19),
    _Offer("lessons", "Piano lesson", 45, 3800, "EUR", 1, 18),
    _Offer("lessons", "German conversation", 60, 2650, "EUR", 3, 21),
    _Offer("lessons", "Pasta cooking course", 180, 7990, "EUR", 6, 23),
    _Offer("lessons", "Pottery workshop", 150, 5990, "GBP", 4, 15),
    _Offer("home", "Flat cleaning, 3 hours", 180, 7500, "EUR", 1, 37),
    _Offer("home", "Window cleaning", 90, 5200, "EUR", 1, 15),
    _Offer("home", "Handyman visit", 60, 6400, "USD", 1, 13),
    _Offer("home", "Piano tuning", 90, 13500, "EUR", 1, 4),
)

# The other offers are there before the first booking, and still are.
_LAUNCHED = {
    "Padel court": date(2024, 4, 23),
    "Pilates reformer class": date(2024, 8, 27),
    "Evening boat trip": date(2025, 3, 18),
    "Pottery workshop": date(2025, 6, 24),
}
_WITHDRAWN = {
    "Spinning class": date(2025, 2, 1),
    "Float tank session": date(2024, 11, 1),
    "Newborn photo session": date(2025, 9, 1),
}


class _Service(NamedTuple):
    """An offer with its row in ``services`` and the moments between which it can be booked."""

    id: int
    offer: _Offer
    created: int
    withdrawn: int | None


class _Sale(NamedTuple):
    """What is drawn month by month, before the rest of a booking follows from it."""

    created: int
    service: _Service
    status: str


class _Booked(NamedTuple):
    """What payments need to know of a booking."""

    id: int
    status: str
    total: float
    currency: str
    starts: int
    created: int
    updated: int


class _Payment(NamedTuple):
    """A row of ``payments``.

    The order of the fields is the order of the rows: by moment, and within one second of one
    booking ``failed`` sorts before ``paid`` and ``paid`` before ``refunded``.
    """

    created: int
    booking_id: int
    status: str
    amount: float
    currency: str
    method: str
    paid: int | None


def create_demo_source(path: Path, *, bookings: int = 200_000, seed: int = 20240101) -> None:
    """Write the demo source database to ``path``, replacing a file that is there.

    The file appears complete or not at all: it is built beside ``path`` and then moved there, so
    several processes may do this at once, and the last one wins. A killed process leaves its
    hidden ``.tmp`` file behind. Missing parent folders are created.

    Args:
        path: The SQLite file to write.
        bookings: Number of rows in ``bookings``, at least 1; the other tables follow from it.
        seed: Same seed, same rows.

    Raises:
        ValueError: ``bookings`` is less than 1.
        OSError: The file cannot be moved to ``path``, or its folder cannot be created.
        sqlite3.Error: The file cannot be built, for example because the disk is full.
    """
    if bookings < 1:
        message = f"bookings must be at least 1, not {bookings}"
        raise ValueError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The token keeps builders apart that have the same process id, each in its own container.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        _build(unfinished, bookings, random.Random(seed))  # noqa: S311 - nothing secret in here
        _remove_journals(path)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_journals(path: Path) -> None:
    """Remove what a crashed writer of the old file left: SQLite would replay it into the new."""
    for suffix in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _build(path: Path, bookings: int, rng: random.Random) -> None:
    with closing(sqlite3.connect(path)) as connection:
        # A half-written file is thrown away, so it needs no protection. Neither setting is stored
        # in the file: whoever opens it next gets the default, journal_mode=DELETE.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(_TABLES)
        with connection:
            _fill(connection, bookings, rng)
        # Sorting once at the end is cheaper than keeping the indexes sorted row by row.
        connection.executescript(_INDEXES)


def _fill(connection: sqlite3.Connection, bookings: int, rng: random.Random) -> None:
    user_count = max(_MIN_USERS, bookings // _BOOKINGS_PER_USER)
    users = _moments(rng, _FIRST_USER_DAY, user_count)
    services = _services(rng)
    sales = _sales(rng, services, _moments(rng, _FIRST_BOOKING_DAY, bookings))
    connection.executemany(_INSERT_USER, _user_rows(rng, users))
    connection.executemany(_INSERT_SERVICE, map(_service_row, services))
    connection.executemany(_INSERT_BOOKING, _booking_rows(rng, users, sales))
    # Read back rather than kept: the bookings as Python objects would take far more memory.
    booked = map(_Booked._make, connection.execute(_SELECT_BOOKED))
    connection.executemany(_INSERT_PAYMENT, _payments(rng, booked))


def _moments(rng: random.Random, first_day: date, count: int) -> list[int]:
    """Draw ``count`` moments from ``first_day`` to the last day, both of them hit, in order."""
    length = (_LAST_DAY - first_day).days + 1
    weights = [_day_weight(first_day + timedelta(day), day / length) for day in range(length)]
    days = sorted(rng.choices(range(length), weights, k=count))
    days[0], days[-1] = 0, length - 1
    hours = rng.choices(range(24), _HOUR_WEIGHTS, k=count)
    start = _midnight(first_day)
    return sorted(
        start + day * _DAY + hour * _HOUR + rng.randrange(_HOUR)
        for day, hour in zip(days, hours, strict=True)
    )


def _day_weight(day: date, elapsed: float) -> float:
    """Return how busy ``day`` is, ``elapsed`` being the part of the period that has passed."""
    season = _WEEKDAY_WEIGHTS[day.weekday()] * _MONTH_WEIGHTS[day.month - 1]
    return season * math.pow(_GROWTH, elapsed)


def _user_rows(rng: random.Random, created: Iterable[int]) -> Iterator[tuple[object, ...]]:
    weights = list(accumulate(market.weight for market in _MARKETS))
    for user_id, moment in enumerate(created, start=1):
        market = rng.choices(_MARKETS, cum_weights=weights)[0]
        given, family = market.given_names.split(), market.family_names.split()
        name = f"{rng.choice(given)} {rng.choice(family)}"
        email = f"{_mailbox(name)}{user_id}@{rng.choice(_EMAIL_DOMAINS)}"
        phone = _phone(rng, market) if rng.random() < _PHONE_SHARE else None
        consent = rng.random() < _CONSENT_SHARE
        yield user_id, email, name, phone, market.country, market.locale, consent, moment


def _mailbox(name: str) -> str:
    """Spell ``name`` in the letters and dots of an address, whatever its own letters are."""
    letters = unicodedata.normalize("NFKD", name.lower().translate(_ASCII_LETTERS))
    return re.sub("[^a-z]+", ".", letters.encode("ascii", "ignore").decode()).strip(".") or "guest"


def _phone(rng: random.Random, market: _Market) -> str:
    """Make up a number that nobody can have: it is too short and starts with 555 01."""
    return f"{market.dialling_code} 555 01{rng.randrange(10_000):04}"


def _services(rng: random.Random) -> list[_Service]:
    services = []
    catalogue_days = (_FIRST_BOOKING_DAY - _FIRST_USER_DAY).days
    for service_id, offer in enumerate(_CATALOGUE, start=1):
        early = _FIRST_USER_DAY + timedelta(rng.randrange(catalogue_days))
        office_hours = rng.randrange(9 * _HOUR, 17 * _HOUR)
        created = _midnight(_LAUNCHED.get(offer.name, early)) + office_hours
        end = _WITHDRAWN.get(offer.name)
        withdrawn = _midnight(end) if end else None
        services.append(_Service(service_id, offer, created, withdrawn))
    return services


def _service_row(service: _Service) -> tuple[object, ...]:
    offer = service.offer
    return (
        service.id,
        offer.name,
        offer.category,
        offer.minutes,
        offer.cents / 100,
        offer.currency,
        service.withdrawn is None,
        service.created,
    )


def _sales(rng: random.Random, services: list[_Service], moments: Iterable[int]) -> Iterator[_Sale]:
    """Draw service and status of the bookings made at ``moments``, which are in order."""
    for (year, month), group in groupby(moments, key=lambda moment: time.gmtime(moment)[:2]):
        created = list(group)
        on_sale = _on_sale(services, _midnight(date(year, month, 1)))
        popularity = [service.offer.popularity for service in on_sale]
        chosen = rng.choices(on_sale, popularity, k=len(created))
        yield from map(_Sale, created, chosen, _statuses(rng, len(created)))


def _on_sale(services: list[_Service], month_start: int) -> list[_Service]:
    """Return the services that can be booked in a month: they come and go at its start."""
    return [
        service
        for service in services
        if service.created < month_start
        and (service.withdrawn is None or month_start < service.withdrawn)
    ]


def _statuses(rng: random.Random, count: int) -> list[str]:
    """Deal the statuses of a month's ``count`` bookings.

    They are dealt from a shuffled deck rather than drawn one by one so that a month has each of
    them, however few bookings it has (but for less than one booking per status).
    """
    deck = []
    for status, share in _OPEN_SHARES.items():
        jitter = rng.uniform(1 - _SHARE_JITTER, 1 + _SHARE_JITTER)
        deck += [status] * max(1, round(count * share * jitter))
    deck += [_COMPLETED] * max(1, count - len(deck))
    rng.shuffle(deck)
    return deck[:count]


def _booking_rows(
    rng: random.Random, users: list[int], sales: Iterable[_Sale]
) -> Iterator[tuple[object, ...]]:
    eagerness = list(accumulate(_eagerness(rng) for _ in users))
    for sale in sales:
        user_id = _pick_user(rng, users, eagerness, sale.created)
        offer = sale.service.offer
        guests = min(offer.max_guests, rng.choices(_GUESTS, _GUEST_WEIGHTS)[0])
        total = offer.cents * guests / 100
        note = rng.choice(_NOTES) if rng.random() < _NOTE_SHARE else None
        starts = _start(rng, sale.created)
        status, updated = _outcome(rng, sale, starts)
        yield (
            user_id, sale.service.id, status, guests, total, offer.currency, note,
            starts, sale.created, updated,
        )  # fmt: skip


def _eagerness(rng: random.Random) -> float:
    """Draw how much a user books: most hardly ever, a few all the time; the median is 1."""
    return rng.lognormvariate(0, _EAGERNESS_SPREAD)


def _pick_user(rng: random.Random, users: list[int], eagerness: list[float], moment: int) -> int:
    """Draw one of the users who were there before ``moment``; ``eagerness`` is cumulated."""
    last = bisect_left(users, moment) - 1
    return bisect_right(eagerness, rng.random() * eagerness[last], hi=last) + 1


def _start(rng: random.Random, created: int) -> int:
    """Draw a quarter of an hour in the opening hours of one of the days after ``created``."""
    lead_days = min(1 + int(rng.expovariate(1 / _MEAN_LEAD_DAYS)), _MAX_LEAD_DAYS)
    quarter = rng.randrange(_OPENING_QUARTER, _CLOSING_QUARTER)
    return created - created % _DAY + lead_days * _DAY + quarter * _QUARTER


def _outcome(rng: random.Random, sale: _Sale, starts: int) -> tuple[str, int]:
    """Return the booking's status and when it took it."""
    if sale.status == _PENDING:
        return _PENDING, sale.created
    if sale.status == _CANCELLED:
        return _CANCELLED, rng.randint(sale.created, min(starts, _LAST_MOMENT))
    closed = starts + sale.service.offer.minutes * 60 + rng.randrange(_MAX_CLOSING)
    if sale.status == _COMPLETED and closed <= _LAST_MOMENT:
        return _COMPLETED, closed
    # Confirmed, or to be completed after the last day and until then confirmed.
    latest = min(sale.created + _MAX_CONFIRMING, starts, _LAST_MOMENT)
    return _CONFIRMED, rng.randint(sale.created, latest)


def _payments(rng: random.Random, bookings: Iterable[_Booked]) -> Iterator[_Payment]:
    """Yield the payments of all bookings in the order in which the payments were made.

    Those of one booking may lie weeks apart, so they wait in a heap until no earlier one can come.
    """
    waiting: list[_Payment] = []
    for booking in bookings:
        while waiting and waiting[0].created < booking.created:
            yield heapq.heappop(waiting)
        for payment in _payments_of(rng, booking):
            heapq.heappush(waiting, payment)
    yield from sorted(waiting)


def _payments_of(rng: random.Random, booking: _Booked) -> list[_Payment]:
    if rng.random() < _PAID_SHARES[booking.status]:
        return _paid_payments(rng, booking)
    if rng.random() < _UNPAID_ROW_SHARE:
        latest = min(booking.created + _MAX_CHECKOUT, _LAST_MOMENT)
        created = rng.randint(booking.created, latest)
        status = rng.choice(_UNPAID_STATES[booking.status])
        return [_payment(booking, status, rng.choice(_ONLINE_METHODS), created, None)]
    return []


def _paid_payments(rng: random.Random, booking: _Booked) -> list[_Payment]:
    """Return the payment that went through, with a failed one before or a refund after it."""
    if booking.status == _COMPLETED and rng.random() < _ON_SITE_SHARE:
        paid = rng.randint(booking.starts, booking.updated)
        return [_payment(booking, _PAID, rng.choice(_ON_SITE_METHODS), paid, paid)]
    method = rng.choice(_ONLINE_METHODS)
    paid = rng.randint(booking.created, min(booking.created + _MAX_CHECKOUT, booking.updated))
    created = max(booking.created, paid - rng.randrange(_MAX_CHARGING))
    payments = [_payment(booking, _PAID, method, created, paid)]
    if rng.random() < _FAILED_FIRST_SHARE:
        failed = rng.randint(booking.created, created)
        payments.append(_payment(booking, _FAILED, method, failed, None))
    if booking.status == _CANCELLED and rng.random() < _REFUND_SHARE:
        refunded = rng.randint(booking.updated, min(booking.updated + _MAX_REFUNDING, _LAST_MOMENT))
        payments.append(_payment(booking, _REFUNDED, method, booking.updated, refunded))
    return payments


def _payment(
    booking: _Booked, status: str, method: str, created: int, paid: int | None
) -> _Payment:
    return _Payment(created, booking.id, status, booking.total, booking.currency, method, paid)
