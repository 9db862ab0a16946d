"""The page as a parser sees it: whole, described, and in need of nothing else."""

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from pipelines.insights.figures import Business
from pipelines.report import palette
from pipelines.report.html import to_html
from pipelines.report.model import Report
from pipelines.report.texts import Texts
from resources.task_types.report_generation import ReportLocale
from tests.support.businesses import (
    DECEMBER,
    HOSTILE_NAMES,
    READ_AT,
    business,
    empty_business,
    hostile_business,
    report,
    unknown_business,
    window,
)

OF = window(*DECEMBER)
REPORTS = {
    "full": lambda: report(business(OF)),
    "empty": lambda: report(empty_business(OF)),
    "unknown": lambda: report(unknown_business(OF)),
    "hostile": lambda: report(hostile_business(OF)),
}
VOID = {"meta", "link", "br", "img", "input", "hr", "line", "rect"}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


@dataclass
class Element:
    """One element: its attributes, its children, and the text in it."""

    tag: str
    attributes: dict[str, str | None]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def all(self, *tags: str) -> list["Element"]:
        """The elements in it of these tags, in their order."""
        found = [self] if self.tag in tags else []
        return found + [each for child in self.children for each in child.all(*tags)]

    def words(self) -> str:
        """All texts in it."""
        return " ".join([self.text, *(child.words() for child in self.children)])


class Tree(HTMLParser):
    """Makes a tree; an element that is not closed, or closed twice, fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):  # type: ignore[union-attr]
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].text += data


def page_of(made: Report, locale: ReportLocale = ReportLocale.EN) -> str:
    return to_html(made, Texts(locale)).decode()


def tree_of(made: Report, locale: ReportLocale = ReportLocale.EN) -> Element:
    return Tree(page_of(made, locale)).root


@pytest.mark.parametrize("locale", ReportLocale)
@pytest.mark.parametrize("name", REPORTS)
def test_it_needs_nothing_but_itself(name: str, locale: ReportLocale) -> None:
    page = page_of(REPORTS[name](), locale)
    root = Tree(page).root

    elements = root.all(*{each.tag for each in flat(root)})
    assert not [each for each in elements if LOADING & each.attributes.keys()]
    assert not [each for each in elements if any(key.startswith("on") for key in each.attributes)]
    assert not root.all("script", "link", "img", "iframe", "object", "embed", "base", "form")
    (style,) = root.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert not [each for each in elements if "style" in each.attributes]


def flat(element: Element) -> list[Element]:
    return [element, *(each for child in element.children for each in flat(child))]


def test_its_policy_allows_its_style_sheet_alone() -> None:
    root = tree_of(REPORTS["full"]())

    (policy,) = [
        each.attributes["content"] or ""
        for each in root.all("meta")
        if each.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = hashlib.sha256(root.all("style")[0].text.encode()).digest()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


@pytest.mark.parametrize("locale", ReportLocale)
@pytest.mark.parametrize("name", REPORTS)
def test_every_chart_is_named_described_and_has_a_table(name: str, locale: ReportLocale) -> None:
    root = tree_of(REPORTS[name](), locale)

    figures = root.all("figure")
    assert len(root.all("svg")) == len(figures)
    for figure in figures:
        (svg,) = figure.all("svg")
        title, description = svg.children[:2]
        assert (title.tag, description.tag) == ("title", "desc")
        assert svg.attributes["role"] == "img"
        labels = f"{title.attributes['id']} {description.attributes['id']}"
        assert svg.attributes["aria-labelledby"] == labels
        assert len(title.text) > 5
        assert len(description.text) > 20
        (details,) = figure.all("details")
        assert details.children[0].tag == "summary"
        (table,) = details.all("table")
        assert len(table.all("tr")) > 1
        assert all(each.attributes["scope"] for each in table.all("th"))


def test_there_is_a_chart_of_everything() -> None:
    root = tree_of(REPORTS["full"]())

    titles = [each.text for each in root.all("h3")]
    assert titles == [
        "Bookings by day",
        "Revenue by day, EUR",
        "Revenue by day, RUB",
        "Bookings by status",
        "Most booked services",
        "Payments by method",
        "Who booked: new and returning users",
    ]


@pytest.mark.parametrize("locale", ReportLocale)
@pytest.mark.parametrize("name", REPORTS)
def test_its_headings_are_in_order_and_its_language_is_said(
    name: str, locale: ReportLocale
) -> None:
    root = tree_of(REPORTS[name](), locale)

    levels = [int(each.tag[1]) for each in root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - level <= 1 for level, later in pairwise(levels))
    (html,) = root.all("html")
    assert html.attributes["lang"] == locale.value
    assert len(root.all("header")) == len(root.all("main")) == len(root.all("footer")) == 1
    ids = [each.attributes["id"] for each in flat(root) if "id" in each.attributes]
    assert len(ids) == len(set(ids))


def test_geometry_has_numbers_alone() -> None:
    root = tree_of(REPORTS["full"]())

    for each in root.all("rect", "line", "text", "svg"):
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height"):
            if name in each.attributes:
                assert re.fullmatch(r"-?\d+(\.\d)?", each.attributes[name] or "")


@pytest.mark.parametrize("name", [each for each in HOSTILE_NAMES if "<" in each])
def test_what_would_be_markup_is_text(name: str) -> None:
    page = page_of(REPORTS["hostile"]())

    assert name not in page
    assert name in " ".join(each.text for each in Tree(page).root.all("bdi"))


def test_an_empty_window_says_so_and_draws_nothing() -> None:
    root = tree_of(REPORTS["empty"]())

    assert "Nothing happened in this period" in root.words()
    assert root.all("svg") == []
    assert "not available" in root.words()


def test_what_cannot_be_told_is_said_with_its_reason() -> None:
    words = tree_of(REPORTS["unknown"]()).words()

    assert "Revenue: datasets.toml does not declare payments.roles.amount." in words


def test_findings_are_told_in_plain_words() -> None:
    words = tree_of(REPORTS["full"]()).words()

    assert "1 payment belongs to no booking that exists." in words
    assert "1,204 rows have no value in “user_id”." in words


def test_it_says_window_zone_snapshot_and_when_it_was_made() -> None:
    made = report(business(window(*DECEMBER, "Europe/Berlin")))
    words = tree_of(made).words()

    assert "1 December 2025, 00:00:00 (UTC+1)" in words
    assert "from 2025-11-30T23:00:00Z until before 2025-12-31T23:00:00Z" in words
    assert "Europe/Berlin" in words
    assert "2 January 2026, 04:04:05 (UTC+1)" in words
    assert "2 January 2026, 04:04:07 (UTC+1)" in words


def test_a_window_that_had_not_ended_is_told_as_one() -> None:
    later = report(business(OF), snapshot_at=READ_AT)
    sooner = report(business(OF), snapshot_at=READ_AT - timedelta(days=5))

    notice = "The period had not ended when the data was read"
    assert notice not in tree_of(later).words()
    assert notice in tree_of(sooner).words()


def test_ten_years_with_many_currencies_stay_small() -> None:
    codes = [f"X{chr(65 + first)}{chr(65 + second)}" for first in range(5) for second in range(6)]
    of = window(DECEMBER[0].replace(year=2016), DECEMBER[1])
    page = page_of(report(business(of, currencies=codes)), ReportLocale.RU)

    assert len(page.encode()) < 400_000
    assert "Графики показаны для 6 валют из 32" in page  # two more are of the period before


def test_a_currency_that_has_no_chart_is_in_the_table() -> None:
    codes = [f"XX{chr(65 + number)}" for number in range(9)]
    root = tree_of(report(business(OF, currencies=codes)))

    (section,) = [
        each for each in root.all("section") if each.attributes["aria-labelledby"] == "figures"
    ]
    (table,) = section.all("table")
    assert "XXI" in table.words()
    assert sum("Revenue by day" in each.text for each in root.all("h3")) == 6


def test_one_currency_alone_that_nobody_names_is_told_without_a_code() -> None:
    of: Business = replace(business(OF, currencies=[""]), findings=[])

    words = tree_of(report(of)).words()

    assert "Revenue by day, currency not stated" in words


# --- Colours ---


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[index : index + 2]) for index in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXTS = [("ink", "page"), ("ink", "card"), ("ink", "notice"), ("muted", "page"), ("muted", "card")]
TEXTS += [("on-mark", f"part-{number}") for number in range(1, palette.PARTS + 1)]
MARKS = [("accent", "card"), ("before", "card"), ("accent", "page")]
MARKS += [(f"part-{number}", "card") for number in range(1, palette.PARTS + 1)]


@pytest.mark.parametrize("scheme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "ground", "least"),
    [(*pair, 4.5) for pair in TEXTS] + [(*pair, 3.0) for pair in MARKS],
)
def test_colours_have_the_contrast_of_wcag_aa(
    scheme: dict[str, str], front: str, ground: str, least: float
) -> None:
    assert contrast(scheme[front], scheme[ground]) >= least


def test_both_schemes_have_every_colour_that_the_style_names() -> None:
    style = tree_of(REPORTS["full"]()).all("style")[0].text

    assert set(re.findall(r"var\(--([\w-]+)\)", style)) == palette.LIGHT.keys()
    assert palette.LIGHT.keys() == palette.DARK.keys()
