"""What is exported of a value that must not leave the database as it is.

A null stays null, and every mask is a text, so that the type tells nothing either.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from resources.errors import DeclarationError
from resources.settings import LEAST_MASK_KEY_LENGTH, Settings
from resources.source.columns import Mask

REDACTED = "REDACTED"
HIDDEN = "****"
# Shorter values keep nothing: four characters would be too much of them.
LEAST_LENGTH_TOLD = 8
TOLD = 4
KEY_FILE = "mask.key"
KEY_BYTES = 32


@dataclass(frozen=True)
class Masking:
    """Masks values; the same value always becomes the same hash under one key."""

    key: bytes

    def apply(self, mask: Mask, values: pa.Array) -> pa.Array:
        """The masks of ``values``, an array of texts."""
        masked: Mapping[Mask, Callable[[str], str]] = {
            Mask.HASH: partial(hashed, self.key),
            Mask.REDACT: lambda _: REDACTED,
            Mask.LAST4: last4,
        }
        texts = values.cast(pa.string()).to_pylist()
        return pa.array(
            [None if each is None else masked[mask](each) for each in texts], pa.string()
        )


def hashed(key: bytes, value: str) -> str:
    """HMAC-SHA-256 (RFC 2104) of the value's UTF-8 under ``key``, in hexadecimal.

    Without the key nobody can try all e-mail addresses to find the one behind a hash.
    """
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


def last4(value: str) -> str:
    """The last four characters after four stars; of a short value the stars alone."""
    return HIDDEN + (value[-TOLD:] if len(value) >= LEAST_LENGTH_TOLD else "")


def load_masking(settings: Settings) -> Masking:
    """The masking of this service: under its own key, which is made when it is first needed.

    Raises:
        DeclarationError: The key can be neither read nor made, or is damaged.
    """
    if settings.mask_key is not None:
        return Masking(settings.mask_key.get_secret_value().encode())
    try:
        key = _key_of(settings.home / KEY_FILE)
    except OSError as error:
        msg = f"{KEY_FILE} in WORKERS_HOME can be neither read nor made ({error.strerror})."
        raise DeclarationError(msg) from error
    if len(key) < LEAST_MASK_KEY_LENGTH:
        # Under an empty key anybody can compute the hashes.
        msg = (
            f"{KEY_FILE} in WORKERS_HOME is damaged: restore it, or remove it to have another "
            "made, under which hashes are others."
        )
        raise DeclarationError(msg)
    return Masking(key)


def _key_of(path: Path) -> bytes:
    if not path.exists():
        own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        own.touch(mode=0o600)
        with own.open("w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # The first to come makes it, whole or not at all; the others find it made.
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    return path.read_bytes().strip()
