"""Where results lie: what `WORKERS_RESULTS_URL` may say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# What is sent as it is, in a header.
_SENT = ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
_PREFIX = re.compile(r"[\w.=-]+(/[\w.=-]+)*", re.ASCII)


@dataclass(frozen=True)
class BucketLocation:
    """A bucket, and what the names of all objects in it begin with (may be empty)."""

    bucket: str
    prefix: str


def parse_results_url(url: str) -> Path | BucketLocation:
    """The folder or the bucket that ``url`` names.

    Raises:
        ValueError: It names neither. The message says what to write, and does not repeat ``url``:
            it may hold a secret.
    """
    if url.startswith("/"):
        return Path(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    match parts.scheme:
        case "file":
            return _folder(parts)
        case "s3":
            return _bucket(parts)
    msg = "must be an absolute path, file:///path or s3://bucket/prefix"
    raise ValueError(msg)


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse ``AWS_*`` variables over which the library stumbles in the middle of a request.

    Raises:
        ValueError: With the variable's name, and without its value.
    """
    for name in _ENDPOINTS:
        value = environment.get(name)
        if value and not _is_http_url(value):
            msg = f"{name} must be an http or https URL, for example https://s3.example.com"
            raise ValueError(msg)
    for name in _SENT:
        if not re.fullmatch(r"[!-~]*", environment.get(name, "")):
            msg = f"{name} must hold no blank, no line break and no letter outside ASCII"
            raise ValueError(msg)


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and bool(re.fullmatch(r"https?://[!-~]+", text))


def _folder(parts: SplitResult) -> Path:
    here = parts.netloc in {"", "localhost"} and parts.path.startswith("/")
    if not here or parts.query or parts.fragment:
        msg = "must name a folder of this machine, for example file:///srv/results"
        raise ValueError(msg)
    return Path(unquote(parts.path))


def _bucket(parts: SplitResult) -> BucketLocation:
    if "@" in parts.netloc or parts.query or parts.fragment:
        msg = (
            "must be s3://bucket/prefix and nothing else: credentials, region and endpoint are "
            "read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
        )
        raise ValueError(msg)
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc) or not (prefix == "" or _is_prefix(prefix)):
        msg = (
            "must name a bucket and, if you like, a prefix of letters, digits and . _ = - /, "
            "for example s3://exports/workers"
        )
        raise ValueError(msg)
    return BucketLocation(parts.netloc, prefix)


def _is_prefix(text: str) -> bool:
    return bool(_PREFIX.fullmatch(text)) and not {".", ".."} & set(text.split("/"))
