"""Columns that should not be told to everybody, by their names."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from resources.source.columns import TEMPORAL_KINDS, UNMASKABLE_KINDS, Column, Kind, Mask
from resources.source.introspection.names import BIRTH, words

_SECRETS = frozenset({
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "pw", "secret", "secrets",
    "token", "tokens", "hash", "hashes", "digest", "salt", "cvv", "cvv2", "cvc", "cvc2", "csc",
    "pin", "pins", "apikey", "ssn", "otp", "totp", "credential", "credentials", "mfa",
})  # fmt: skip
_SECRET_ENDS = ("password", "passwd", "pwd", "token", "secret", "hash", "apikey")
_SECRET_PAIRS = frozenset({
    ("api", "key"), ("private", "key"), ("secret", "key"), ("access", "key"), ("auth", "key"),
    ("signing", "key"), ("encryption", "key"), ("security", "code"), ("security", "answer"),
    ("social", "security"), ("recovery", "code"), ("recovery", "codes"),
})  # fmt: skip

_PERSONAL: Sequence[tuple[frozenset[str], Mask]] = (
    (frozenset({"email", "emails", "mail"}), Mask.HASH),
    (frozenset({"phone", "phones", "mobile", "telephone", "tel", "cellphone", "fax"}), Mask.LAST4),
    (frozenset({"iban", "pan"}), Mask.LAST4),
    (frozenset({"passport", "nino", "vat", "ip"}), Mask.HASH),
    (frozenset({"firstname", "lastname", "fullname", "surname", "forename"}), Mask.REDACT),
    (frozenset({"street", "address", "address1", "address2"}), Mask.REDACT),
    (BIRTH, Mask.REDACT),
)
_PERSONAL_PAIRS: Mapping[tuple[str, str], Mask] = {
    ("card", "number"): Mask.LAST4,
    ("card", "no"): Mask.LAST4,
    ("card", "num"): Mask.LAST4,
    ("cc", "number"): Mask.LAST4,
    ("account", "number"): Mask.LAST4,
    ("national", "id"): Mask.HASH,
    ("tax", "id"): Mask.HASH,
    ("e", "mail"): Mask.HASH,
    ("first", "name"): Mask.REDACT,
    ("last", "name"): Mask.REDACT,
    ("full", "name"): Mask.REDACT,
    ("family", "name"): Mask.REDACT,
}


def is_secret(column: Column | None, name: str) -> bool:
    """Whether the name is one of a thing that opens doors. Flags and dates about it are not."""
    if column is not None and column.kind in TEMPORAL_KINDS | {Kind.BOOLEAN}:
        return False
    said = words(name)
    return any(
        word in _SECRETS or word.endswith(_SECRET_ENDS) for word in said
    ) or not _SECRET_PAIRS.isdisjoint(_pairs(said))


def personal_mask(column: Column) -> Mask | None:
    """The mask to suggest for what looks like a person's data; None: it does not, or has none."""
    said = words(column.name)
    if column.kind in TEMPORAL_KINDS:
        return Mask.REDACT if BIRTH & set(said) else None
    refers = said[-1:] == ["id"] and tuple(said[-2:]) not in _PERSONAL_PAIRS
    if refers or column.kind in UNMASKABLE_KINDS | {Kind.BOOLEAN, Kind.UUID}:
        return None
    for pair in _pairs(said):
        if pair in _PERSONAL_PAIRS:
            return _PERSONAL_PAIRS[pair]
    return next((mask for known, mask in _PERSONAL if known & set(said)), None)


def _pairs(said: Sequence[str]) -> set[tuple[str, str]]:
    return set(pairwise(said))
