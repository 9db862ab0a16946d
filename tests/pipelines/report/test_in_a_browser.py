"""A report as a browser shows it: fits the screen, asks nobody for anything, hides nothing."""

import base64
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from pipelines.report.html import to_html
from pipelines.report.model import Report
from pipelines.report.texts import Texts
from resources.task_types.report_generation import ReportLocale
from tests.support.browser import Browser, browsing
from tests.support.businesses import (
    DECEMBER,
    business,
    empty_business,
    hostile_business,
    report,
    window,
)

REPORTS: dict[str, Callable[[], Report]] = {
    "month": lambda: report(business(window(*DECEMBER, "Europe/Berlin"))),
    "day": lambda: report(business(window(date(2025, 12, 31), date(2026, 1, 1)), scale=10**9)),
    "years": lambda: report(business(window(date(2016, 1, 3), date(2026, 1, 1)), scale=10**4)),
    "empty": lambda: report(empty_business(window(*DECEMBER))),
    "hostile": lambda: report(hostile_business(window(*DECEMBER))),
}
OVERFLOWING = """
[...document.querySelectorAll("body *")]
  .filter(each => !each.closest("svg") && !each.parentElement.closest(".scroll"))
  .filter(each => each.getBoundingClientRect().right > innerWidth + 0.5)
  .map(each => each.outerHTML.slice(0, 100))
"""
CLIPPED = """
[...document.querySelectorAll("svg text")]
  .filter(each => {
    const box = each.getBBox(), view = each.ownerSVGElement.viewBox.baseVal;
    return box.x < -0.5 || box.x + box.width > view.width + 0.5
      || box.y < -3 || box.y + box.height > view.height + 3;
  })
  .map(each => each.textContent)
"""
# Texts of one line of a chart that are written over each other.
OVERLAPPING = """
[...document.querySelectorAll("svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].map(each => [each.getBBox(), each.textContent]);
  return texts.flatMap(([a, first], index) => texts.slice(index + 1)
    .filter(([b]) => a.x < b.x + b.width && b.x < a.x + a.width
      && a.y + 4 < b.y + b.height && b.y + 4 < a.y + a.height)
    .map(([, second]) => first + " / " + second));
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, ReportLocale], Path]:
    folder = tmp_path_factory.mktemp("pages")

    def make(name: str, locale: ReportLocale) -> Path:
        path = folder / f"{name}.{locale}.html"
        path.write_bytes(to_html(REPORTS[name](), Texts(locale)))
        return path

    return make


@pytest.mark.parametrize("locale", ReportLocale)
@pytest.mark.parametrize("name", REPORTS)
def test_it_fits_every_screen_and_asks_for_nothing(
    browser: Browser,
    page_of: Callable[[str, ReportLocale], Path],
    name: str,
    locale: ReportLocale,
) -> None:
    page = page_of(name, locale)

    for width, scheme in ((320, "light"), (390, "dark"), (1280, "light")):
        browser.open(page, width=width, scheme=scheme)

        assert browser.tell("innerWidth") == width
        assert browser.tell("document.documentElement.scrollWidth") <= width
        assert browser.tell(OVERFLOWING) == []
        assert browser.tell(CLIPPED) == []
        assert browser.tell(OVERLAPPING) == []
        assert browser.requests == [page.as_uri()]
        assert browser.complaints == []


def test_it_fits_when_all_tables_are_open(
    browser: Browser, page_of: Callable[[str, ReportLocale], Path]
) -> None:
    browser.open(page_of("hostile", ReportLocale.RU), width=320)

    opened = browser.tell(
        "(all => { all.forEach(each => each.open = true); return all.length; })"
        "([...document.querySelectorAll('details')])"
    )

    assert opened > 4
    assert browser.tell("document.documentElement.scrollWidth") <= 320
    assert browser.tell(OVERFLOWING) == []


def test_nothing_hostile_becomes_part_of_the_page(
    browser: Browser, page_of: Callable[[str, ReportLocale], Path]
) -> None:
    browser.open(page_of("hostile", ReportLocale.EN), width=390)

    assert browser.tell("document.querySelectorAll('script, img, a, b > b, i, u').length") == 0
    assert "<script>alert(1)</script>" in browser.tell("document.body.innerText")


def test_the_dark_is_dark(browser: Browser, page_of: Callable[[str, ReportLocale], Path]) -> None:
    page = page_of("month", ReportLocale.EN)
    grounds = []
    for scheme in ("light", "dark"):
        browser.open(page, width=390, scheme=scheme)
        grounds.append(browser.tell("getComputedStyle(document.body).backgroundColor"))

    assert grounds == ["rgb(244, 245, 248)", "rgb(17, 20, 26)"]


def test_every_table_can_be_opened_and_scrolled_by_keyboard(
    browser: Browser, page_of: Callable[[str, ReportLocale], Path]
) -> None:
    browser.open(page_of("month", ReportLocale.EN), width=390)

    assert browser.tell("document.querySelectorAll('summary').length") > 5
    assert (
        browser.tell(
            "[...document.querySelectorAll('summary, .scroll')].filter(each => each.tabIndex !== 0)"
            ".length"
        )
        == 0
    )


def test_it_can_be_printed(browser: Browser, page_of: Callable[[str, ReportLocale], Path]) -> None:
    browser.open(page_of("month", ReportLocale.RU), width=1280, scheme="dark")

    printed = base64.b64decode(browser.pdf())

    pages = printed.count(b"/Type /Page\n") or printed.count(b"/Type /Page ")
    assert printed.startswith(b"%PDF")
    assert 2 <= pages <= 5
