"""``analysis.json`` as it is written: its schema is made of these models."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str
# Exact, as a text: JSON's numbers are doubles to most who read them.
Amounts = dict[str, str]
VERSION = 1


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopValueDocument(_Document):
    """A frequent value."""

    value: Value
    count: int = Field(ge=2, description="Rows that have it")


class ColumnDocument(_Document):
    """What one column holds."""

    name: str
    kind: str = Field(description="What kind of values: `integer`, `decimal`, `text`, ...")
    count: int = Field(ge=0, description="Rows with a value")
    nulls: int = Field(ge=0, description="Rows without one")
    distinct: int = Field(ge=0, description="Different values")
    not_finite: int = Field(
        ge=0, description="Values of a float that are NaN or infinite; no other figure has them"
    )
    min: Value | None = Field(description="The least value")
    max: Value | None = Field(description="The greatest value")
    mean: Value | None = Field(
        description="The arithmetic mean; of decimals a text, exact to "
        "two digits more than the values have"
    )
    quantiles: dict[str, Value] | None = Field(
        description="`p05`, `p25`, `p50`, `p75`, `p95`: so many per cent of the values are not "
        "greater"
    )
    top_values: list[TopValueDocument] | None = Field(
        description="The ten most frequent of the values that several rows have"
    )
    approximate: list[str] = Field(description="Which of these figures are estimates")


class PeriodDocument(_Document):
    """The rows of a day, a week or a month."""

    start: str = Field(description="Its first day, in the request's time zone")
    rows: int = Field(ge=0)
    growth: float | None = Field(
        description="How many more than in the period before, as a share of those: 0.5 is half as "
        "many again; null for the first, after a period without rows, and where one of the two is "
        "partial"
    )
    partial: bool = Field(
        description="Whether the window begins or ends within it, or it was not over at `taken_at`"
    )


class ShareDocument(_Document):
    """How much falls to one value."""

    name: str | None = Field(description="The value; null: none; empty: all others together")
    count: int = Field(ge=0)
    amounts: Amounts | None = Field(description="By currency, in its unit")


class DatasetDocument(_Document):
    """One dataset in the window."""

    rows: int = Field(ge=0)
    days: list[PeriodDocument] = Field(description="By day; empty for more than ten years")
    weeks: list[PeriodDocument] = Field(description="By week, from Monday")
    months: list[PeriodDocument]
    statuses: list[ShareDocument] | None = Field(
        description="Rows by status; null: no column has that role"
    )
    columns: list[ColumnDocument]


class HeadlineDocument(_Document):
    """The business in the window; null: it cannot be told, see `left_out`, or is of nothing."""

    bookings: int | None = Field(description="Bookings made")
    revenue: Amounts | None = Field(
        description="Paid payments less refunds, by currency, in its unit, by the payments' dates"
    )
    average_booking: Amounts | None = Field(
        description="Mean amount of the bookings that were not cancelled, by currency"
    )
    cancellation_rate: float | None = Field(ge=0, le=1, description="Cancelled of all bookings")
    refund_rate: float | None = Field(ge=0, description="Refunds for each paid payment")
    new_users: int | None = Field(description="Accounts made")
    new_bookers: int | None = Field(
        description="Users who booked, with an account made in the window"
    )
    returning_bookers: int | None = Field(description="Users who booked, with an older account")
    repeat_users: int | None = Field(description="Users who booked more than once")


class BusinessPeriodDocument(_Document):
    """The business of a day, a week or a month."""

    start: str
    bookings: int | None
    revenue: Amounts | None
    new_users: int | None


class FindingDocument(_Document):
    """Something that somebody should look at."""

    code: str
    dataset: str
    column: str | None
    rows: int = Field(ge=1)


class LeftOutDocument(_Document):
    """A figure that cannot be told, and what is missing for it."""

    figure: str
    missing: str


class BusinessDocument(_Document):
    """All datasets together."""

    headline: HeadlineDocument
    days: list[BusinessPeriodDocument]
    weeks: list[BusinessPeriodDocument]
    months: list[BusinessPeriodDocument]
    services: list[ShareDocument] = Field(description="Bookings and revenue by service")
    methods: list[ShareDocument] = Field(description="Payments and revenue by payment method")
    statuses: list[ShareDocument] = Field(description="Bookings and their amounts by status")


class WindowDocument(_Document):
    """What was asked for."""

    date_from: str | None
    date_to: str | None
    timezone: str


class AnalysisDocument(_Document):
    """The whole of ``analysis.json``."""

    version: int = Field(description="Of this schema")
    window: WindowDocument
    taken_at: str = Field(description="The moment as of which the source was read")
    rows: int = Field(ge=0, description="Rows of all datasets")
    datasets: dict[str, DatasetDocument]
    business: BusinessDocument
    findings: list[FindingDocument]
    left_out: list[LeftOutDocument]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``analysis.json`` (draft 2020-12)."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | AnalysisDocument.model_json_schema()
