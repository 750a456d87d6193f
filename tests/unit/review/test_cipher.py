"""What the table's cipher promises: nobody reads, moves or changes an entry, and keys can be changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.errors import DeskError
from review.retention.cipher import ChangedError, Cipher, Key, KeyGoneError

OLD, NEW = Key(b"o" * 32), Key(b"n" * 32)
TEXT = b"I have not told anyone that I cannot sleep"


@given(content=st.binary(max_size=200), bound_to=st.binary(max_size=50))
def test_what_is_sealed_opens_under_its_own_name_alone(content: bytes, bound_to: bytes) -> None:
    cipher = Cipher([OLD])
    sealed = cipher.seal(content, bound_to)
    assert cipher.open(sealed, bound_to) == content
    with pytest.raises(ChangedError):
        cipher.open(sealed, bound_to + b"x")


def test_nothing_of_the_content_or_the_key_stands_in_what_is_sealed() -> None:
    sealed = Cipher([OLD]).seal(TEXT, b"case:1")
    assert TEXT[:8] not in sealed
    assert OLD.secret[:8] not in sealed
    assert len(sealed) - len(TEXT) == 37  # what a record may grow by


def test_the_same_content_is_never_sealed_the_same_way() -> None:
    cipher = Cipher([OLD])
    assert len({cipher.seal(TEXT, b"case:1") for _ in range(50)}) == 50


def test_every_byte_counts() -> None:
    """A changed byte, wherever it is, never opens: it names an unknown key, or fails."""
    cipher = Cipher([OLD])
    sealed = cipher.seal(TEXT, b"case:1")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises((ChangedError, KeyGoneError)):
            cipher.open(bytes(changed), b"case:1")


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b'{"type":"open"}', b"\x01" + bytes(19), b"\x02" + bytes(60)]
)
def test_what_was_never_sealed_is_told_from_what_has_another_key(content: bytes) -> None:
    with pytest.raises(ChangedError, match="not sealed by a desk"):
        Cipher([OLD]).open(content, b"case:1")


def test_keys_change_without_losing_what_the_old_one_sealed() -> None:
    before, after = Cipher([OLD]), Cipher([NEW, OLD])
    sealed = before.seal(TEXT, b"case:1")
    assert after.open(sealed, b"case:1") == TEXT
    assert not after.is_current(sealed)
    again = after.seal(TEXT, b"case:1")
    assert after.is_current(again)
    assert Cipher([NEW]).open(again, b"case:1") == TEXT


def test_a_key_that_is_gone_is_named_and_stops_the_desk() -> None:
    sealed = Cipher([OLD]).seal(TEXT, b"case:1")
    with pytest.raises(KeyGoneError, match=f"sealed with the key {OLD.name}, and only {NEW.name}") as caught:
        Cipher([NEW]).open(sealed, b"case:1")
    assert isinstance(caught.value, DeskError)
    assert OLD.text not in str(caught.value)


def test_a_key_never_shows_itself() -> None:
    assert OLD.text not in repr(OLD) + OLD.name
    assert Key.read(OLD.text) == OLD
    assert Key.make() != Key.make()


@pytest.mark.parametrize(
    ("text", "says"),
    [("not base64!", "not base64"), ("c2hvcnQ=", "has 5 bytes, it needs 32"), ("", "0 bytes")],
)
def test_what_is_no_key_is_refused_without_being_quoted(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Key.read(text)
