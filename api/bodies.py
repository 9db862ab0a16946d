"""Reads a request's body: JSON, an object, of a reasonable size."""

import json
from typing import Any, NoReturn

from falcon.asgi import Request

from api.errors import BodyTooLarge, MalformedJson, UnsupportedMediaType

MAX_BODY_BYTES = 2**20
# So much of a body that is too large is read all the same: a client that is still sending
# would not see the answer.
MAX_DRAINED_BYTES = 8 * 2**20
READ_BYTES = 2**16
MAX_DEPTH = 64


async def read_object(req: Request) -> dict[str, Any]:
    """The JSON object in the body of ``req``.

    Raises:
        UnsupportedMediaType: It is said to be something else.
        BodyTooLarge: Longer than `MAX_BODY_BYTES`.
        MalformedJson: No JSON, or no object.
    """
    if (req.content_type or "").split(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType
    return parse_object(await _read(req))


async def _read(req: Request) -> bytes:
    announced = req.content_length or 0
    body = bytearray()
    total = 0
    while chunk := await req.stream.read(READ_BYTES):
        total += len(chunk)
        if max(total, announced) <= MAX_BODY_BYTES:
            body += chunk
        elif total > MAX_DRAINED_BYTES:
            break
    if max(total, announced) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body`` (RFC 8259: UTF-8; each name once; no NaN, no infinity).

    Raises:
        MalformedJson: It is none; the message says why.
    """
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        msg = "The body is not UTF-8."
        raise MalformedJson(msg) from error
    except json.JSONDecodeError as error:
        msg = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise MalformedJson(msg) from error
    except RecursionError as error:
        raise MalformedJson(_too_deep()) from error
    except ValueError as error:
        msg = "The body has a number that is too long."
        raise MalformedJson(msg) from error
    if not isinstance(document, dict):
        msg = "The body is JSON, but not an object."
        raise MalformedJson(msg)
    _check_depth(document)
    return document


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        msg = "The body has an object with the same name twice."
        raise MalformedJson(msg)
    return members


def _no_constant(_name: str) -> NoReturn:
    msg = "The body has NaN or Infinity, which JSON does not know."
    raise MalformedJson(msg)


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        msg = "The body has a number that is too large."
        raise MalformedJson(msg)
    return number


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise MalformedJson(_too_deep())


def _too_deep() -> str:
    return f"The body is nested more than {MAX_DEPTH} levels deep."
