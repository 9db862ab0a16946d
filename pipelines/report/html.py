"""A report as one HTML file, which needs nothing but itself: no script, no font, no picture."""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.report import palette
from pipelines.report.charts import WIDTH
from pipelines.report.model import Report
from pipelines.report.page import Page
from pipelines.report.texts import Texts

MEDIA_TYPE = "text/html; charset=utf-8"

_MEANINGS = (
    "bookings", "revenue", "average_booking", "cancellation_rate", "refund_rate",
    "new_users", "new_bookers", "returning_bookers", "repeat_users",
)  # fmt: skip


def to_html(report: Report, texts: Texts) -> bytes:
    """The file."""
    page = Page(report, texts)
    style = _style()
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            texts=texts,
            page=page,
            tables=page.tables,
            width=WIDTH,
            meanings=_MEANINGS,
            style=Markup(style),  # noqa: S704 - ours, and nothing of a report is in it
            style_digest=_digest(style),
            is_unfinished=report.window.end > report.snapshot_at,
        )
    )
    return text.encode()


def _digest(style: str) -> str:
    """What a content security policy knows the only style sheet by."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


@cache
def _style() -> str:
    template = _environment().get_template("report.css.jinja")
    text = template.render(light=palette.LIGHT, dark=palette.DARK, parts=palette.PARTS)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["at"] = _coordinate
    return environment


def _coordinate(value: Any) -> str:
    """A coordinate, short."""
    return f"{float(value):.1f}".removesuffix(".0")
