"""A report as JSON: `pipelines.report.model.Report`, in no language."""

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from pipelines.report.model import Report

MEDIA_TYPE = "application/json"


def to_document(report: Report) -> bytes:
    """The file."""
    plain = _adapter().dump_python(report, mode="json")
    return json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False).encode()


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, which ``docs/tasks/report.schema.json`` is a copy of."""
    known = _adapter().json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **known}


@cache
def _adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)
