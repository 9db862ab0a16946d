"""What reports say in each language, and that each language says everything."""

import re
import string
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from babel import Locale

from pipelines.insights.figures import Finding, Headline
from pipelines.report import words
from pipelines.report.model import Figure, Span, Unit
from pipelines.report.periods import Bucket
from pipelines.report.texts import Texts
from resources.source.declarations import DATASETS
from resources.task_types.report_generation import ReportLocale
from tests.support.businesses import DECEMBER, window

EN, RU = Texts(ReportLocale.EN), Texts(ReportLocale.RU)
REPORT = Path(words.__file__).parents[1]
NBSP = "\N{NO-BREAK SPACE}"


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("locale", ReportLocale)
def test_every_language_has_every_text_with_the_same_values_in_it(locale: ReportLocale) -> None:
    english, other = words.WORDS[ReportLocale.EN], words.WORDS[locale]

    assert other.keys() == english.keys()
    for key, text in other.items():
        assert text
        assert names_in(text) == names_in(english[key]), key


@pytest.mark.parametrize("locale", ReportLocale)
def test_every_language_has_every_plural_in_all_its_forms(locale: ReportLocale) -> None:
    english, other = words.PLURALS[ReportLocale.EN], words.PLURALS[locale]
    forms = {*Locale.parse(locale.value).plural_form.tags, "other"}

    assert other.keys() == english.keys()
    for key, plural in other.items():
        assert plural.keys() == forms, key
        assert {"n", *names_in(english[key]["other"])} == {
            name for text in plural.values() for name in names_in(text)
        }


def test_russian_is_written_in_russian() -> None:
    for key, text in words.WORDS[ReportLocale.RU].items():
        if key.startswith(("date.", "part", "bar")):
            continue
        plain = re.sub(r"\{\w+\}|datasets\.toml|Excel|UTC|&[PN]", "", text)
        assert not re.search("[A-Za-z]", plain), key
        assert re.search("[а-яё]", plain) or not plain.strip(" .:·"), key


def test_every_text_that_is_asked_for_is_there_and_none_is_left_over() -> None:
    asked = "".join(
        path.read_text() for path in REPORT.rglob("*") if path.suffix in {".py", ".jinja"}
        and path.parent.name != "words"
    )  # fmt: skip
    families: tuple[str, ...] = (
        "figure.",
        "dataset.",
        "note.",
        "missing.",
        "chart.",
        "column.",
        "sheet.",
    )
    families += ("section.", "meaning.", "about.", "date.", "describe.")

    unused = [
        key
        for key in words.WORDS[ReportLocale.EN]
        if not key.startswith(families) and f'"{key}"' not in asked
    ]

    assert unused == []


@pytest.mark.parametrize("name", Headline.__dataclass_fields__)
def test_every_figure_has_a_name_and_a_meaning(name: str) -> None:
    for texts in (EN, RU):
        assert texts.say(f"figure.{name}")
        assert texts.say(f"meaning.{name}")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_dataset_has_a_name(dataset: str) -> None:
    assert RU.say_known("dataset", dataset) != dataset


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (1, "1 платёж относится к бронированию, которого нет."),
        (3, "3 платежа относятся к бронированиям, которых нет."),
        (11, "11 платежей относятся к бронированиям, которых нет."),
        (21, "21 платёж относится к бронированию, которого нет."),
        (1204, f"1{NBSP}204 платежа относятся к бронированиям, которых нет."),
    ],
)
def test_russian_counts_as_russians_do(rows: int, text: str) -> None:
    assert RU.finding(Finding("payments_without_booking", "payments", None, rows)) == text


def test_a_finding_that_is_not_known_yet_is_told_by_its_code() -> None:
    finding = Finding("something_new", "users", None, 2)

    assert EN.finding(finding) == "Users: 2 rows need a look (something_new)."


@pytest.mark.parametrize(
    ("amount", "currency", "short", "english", "russian"),
    [
        ("1234.5", "EUR", False, "€1,234.50", f"1{NBSP}234,50{NBSP}€"),
        ("-1234.5", "EUR", False, "−€1,234.50", f"−1{NBSP}234,50{NBSP}€"),
        ("1234567.89", "USD", True, "$1,234,568", f"1{NBSP}234{NBSP}568{NBSP}$"),
        ("1234.5", "JPY", False, "¥1,234", f"1{NBSP}234{NBSP}¥"),
        ("99", "RUB", False, f"RUB{NBSP}99.00", f"99,00{NBSP}₽"),
        ("99", "<b>", False, f"99.00{NBSP}<b>", f"99,00{NBSP}<b>"),
        ("99", "", False, "99.00", "99,00"),
    ],
)
def test_money_is_written_as_the_language_does(
    amount: str, currency: str, short: bool, english: str, russian: str
) -> None:
    value = Decimal(amount)

    assert EN.money(value, currency, short=short) == english
    assert RU.money(value, currency, short=short) == russian


@pytest.mark.parametrize(
    ("unit", "change", "english", "russian"),
    [
        (Unit.COUNT, 0.125, "+12.5%", f"+12,5{NBSP}%"),
        (Unit.MONEY, -1.5, "−150.0%", f"−150,0{NBSP}%"),
        (Unit.RATE, 0.021, "+2.1 pp", "+2,1 п. п."),
        (Unit.RATE, -0.021, "−2.1 pp", "−2,1 п. п."),
        (Unit.COUNT, 0.0001, "no change", "без изменений"),
        (Unit.COUNT, None, "", ""),
    ],
)
def test_a_change_has_a_sign(unit: Unit, change: float | None, english: str, russian: str) -> None:
    figure = Figure("bookings", unit, None, 1, 1, change)

    assert (EN.change(figure), RU.change(figure)) == (english, russian)


@pytest.mark.parametrize(
    ("first", "after", "english", "russian"),
    [
        (*DECEMBER, "December 2025", f"декабрь 2025{NBSP}г."),
        (date(2025, 12, 31), date(2026, 1, 1), "31 December 2025", f"31 декабря 2025{NBSP}г."),
        (date(2025, 12, 1), date(2025, 12, 8), "1–7 December 2025", f"1–7 декабря 2025{NBSP}г."),
        (
            date(2025, 11, 24),
            date(2025, 12, 8),
            "24 November – 7 December 2025",
            f"24 ноября — 7 декабря 2025{NBSP}г.",
        ),
        (
            date(2024, 12, 30),
            date(2025, 1, 6),
            "30 December 2024 – 5 January 2025",
            f"30 декабря 2024{NBSP}г. — 5 января 2025{NBSP}г.",
        ),
        (
            date(2025, 1, 1),
            date(2025, 4, 1),
            "January 2025 – March 2025",
            f"январь 2025{NBSP}г. — март 2025{NBSP}г.",
        ),
    ],
)
def test_a_window_is_named_as_people_name_it(
    first: date, after: date, english: str, russian: str
) -> None:
    of = window(first, after, "Europe/Berlin")
    assert of.start is not None
    assert of.end is not None
    span = Span(of.start, of.end, of.zone)

    assert (EN.span(span), RU.span(span)) == (english, russian)


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2025-12-30T10:00:00", "2025-12-30T16:30:00", "30 December 2025, 11:00–17:30"),
        (
            "2025-12-30T10:00:00",
            "2025-12-31T10:00:01",
            "30 December 2025, 11:00:00 – 31 December 2025, 11:00:01",
        ),
    ],
)
def test_a_window_of_hours_is_named_by_its_hours(start: str, end: str, text: str) -> None:
    first, last = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end))

    assert EN.span(Span(first, last, "Europe/Berlin")) == text


def test_short_months_are_of_the_language() -> None:
    assert EN.short_start(date(2025, 5, 1), Bucket.MONTH) == "May 2025"
    assert RU.short_start(date(2025, 5, 1), Bucket.MONTH) == "май 2025"
    assert RU.short_start(date(2025, 12, 8), Bucket.DAY) == "8 дек."


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("payments.roles.amount", "в datasets.toml не описано payments.roles.amount"),
        ("users: columns that are not masked", "часть столбцов скрыта (Пользователи)"),
        ("users: columns that are not left out", "часть столбцов не читается (Пользователи)"),
        ("a shorter window", "период слишком длинный"),
        ("users: columns beside the key", "нет столбцов, кроме ключа (Пользователи)"),
    ],
)
def test_what_is_missing_is_told_in_the_language(missing: str, text: str) -> None:
    assert RU.missing(missing) == text


def test_values_are_put_into_texts_as_they_are() -> None:
    hostile = "{n} {dataset.__class__}"
    told = EN.finding(Finding("missing_values", "bookings", hostile, 5))

    assert hostile in told
