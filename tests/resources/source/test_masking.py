"""What is exported instead of a value that must not leave the database."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr, ValidationError

from resources.errors import DeclarationError
from resources.settings import Settings
from resources.source.columns import Mask
from resources.source.masking import KEY_FILE, Masking, hashed, last4, load_masking

# RFC 4231, section 4.3.
RFC_KEY, RFC_DATA = b"Jefe", "what do ya want for nothing?"
RFC_DIGEST = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_a_hash_is_hmac_sha_256() -> None:
    assert hashed(RFC_KEY, RFC_DATA) == RFC_DIGEST


def test_equal_values_have_equal_hashes_and_others_have_others() -> None:
    masked = Masking(b"key").apply(Mask.HASH, pa.array(["a", "b", "a", None, ""])).to_pylist()
    assert masked[0] == masked[2]
    assert len({*masked}) == 4
    assert masked[3] is None
    assert Masking(b"other").apply(Mask.HASH, pa.array(["a"])).to_pylist() != masked[:1]


def test_a_number_has_the_hash_of_its_text() -> None:
    masking = Masking(b"key")
    numbers = masking.apply(Mask.HASH, pa.array([7, None], pa.int16()))
    assert numbers.to_pylist() == masking.apply(Mask.HASH, pa.array(["7", None])).to_pylist()
    assert numbers.type == pa.string()


def test_what_is_redacted_tells_whether_there_was_something_and_no_more() -> None:
    masked = Masking(b"").apply(Mask.REDACT, pa.array(["secret", "", None]))
    assert masked.to_pylist() == ["REDACTED", "REDACTED", None]


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("4111 1111 1111 1234", "****1234"),
        ("12345678", "****5678"),
        ("1234567", "****"),
        ("1234", "****"),
        ("", "****"),
    ],
)
def test_of_a_long_value_the_last_four_characters_are_told(value: str, masked: str) -> None:
    assert last4(value) == masked


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        keys = {masking.key for masking in pool.map(lambda _: load_masking(settings), range(16))}
    (key,) = keys
    assert len(key) == 64
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_is_set_is_used_and_none_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mask_key=SecretStr("a key of many characters"))
    assert load_masking(settings).key == b"a key of many characters"
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValidationError, match="mask_key"):
        Settings(mask_key=SecretStr("short"))


@pytest.mark.parametrize("content", ["", "short", "\n"])
def test_a_damaged_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / KEY_FILE).write_text(content)
    with pytest.raises(DeclarationError, match="damaged"):
        load_masking(Settings(home=tmp_path))


def test_a_key_that_somebody_wrote_with_an_editor_has_no_line_break(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("a key of many characters\n")
    assert load_masking(Settings(home=tmp_path)).key == b"a key of many characters"


def test_a_key_that_cannot_be_made_is_told_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as raised:
        load_masking(Settings(home=tmp_path / "nowhere"))
    assert str(tmp_path) not in str(raised.value)
