import math
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scores import Scores
from schemas.events import Highlight
from worker.cache.key import PREFIX, SEAL_BYTES, cache_key, is_sound, seal, unseal

SECRET = b"a secret of sixteen or more"
KEY = cache_key(SECRET, "bundle", "a text")
SCORES = Scores(0.25, (0.5, 0.25, 0.25), 2, truncated=True, highlights=(Highlight(3, 9, 0.5),))

probabilities = st.floats(0, 1)
sound = st.builds(
    Scores,
    risk=probabilities,
    severity=st.none() | st.lists(probabilities, min_size=1, max_size=6).map(tuple),
    windows=st.integers(1, 99),
    truncated=st.booleans(),
)
# Everything JSON can say, lone surrogates included.
texts = st.text(st.characters(), max_size=40)


@given(sound, texts)
def test_what_was_sealed_is_what_comes_back(scores: Scores, text: str) -> None:
    key = cache_key(SECRET, "bundle", text)
    assert unseal(SECRET, key, seal(SECRET, key, scores)) == scores


@given(texts, texts)
def test_keys_differ_exactly_where_texts_do(one: str, other: str) -> None:
    assert (cache_key(SECRET, "b", one) == cache_key(SECRET, "b", other)) == (one == other)


def test_keys_differ_by_bundle_and_by_secret() -> None:
    keys = {cache_key(secret, bundle, "a text") for secret in (SECRET, b"another") for bundle in ("b1", "b2")}
    assert len(keys) == 4


def test_texts_that_look_alike_but_read_differently_have_their_own_keys() -> None:
    composed, decomposed = (unicodedata.normalize(form, "fiancée") for form in ("NFC", "NFD"))
    assert cache_key(SECRET, "b", composed) != cache_key(SECRET, "b", decomposed)


def test_neither_key_nor_value_holds_the_text() -> None:
    text = "nobody would miss me"
    key = cache_key(SECRET, "bundle", text)
    assert text.encode() not in key + seal(SECRET, key, SCORES)
    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + 32


@given(st.binary(max_size=80))
def test_other_bytes_are_a_miss(value: bytes) -> None:
    assert unseal(SECRET, KEY, value) is None


def test_a_value_is_good_only_whole_unaltered_under_its_key_and_secret() -> None:
    value = seal(SECRET, KEY, SCORES)
    assert unseal(SECRET, KEY, value) == SCORES
    for end in range(len(value)):
        assert unseal(SECRET, KEY, value[:end]) is None
        altered = bytearray(value)
        altered[end] ^= 1
        assert unseal(SECRET, KEY, bytes(altered)) is None
    assert unseal(SECRET, cache_key(SECRET, "bundle", "another text"), value) is None
    assert unseal(b"another secret", KEY, value) is None
    assert unseal(SECRET, KEY, None) is None


unsound = [
    Scores(math.nan, None, 1, truncated=False),
    Scores(math.inf, None, 1, truncated=False),
    Scores(-0.01, None, 1, truncated=False),
    Scores(1.01, None, 1, truncated=False),
    Scores(0.5, (math.nan, 0.5), 1, truncated=False),
    Scores(0.5, (2.0, 0.5), 1, truncated=False),
    Scores(0.5, (), 1, truncated=False),
    Scores(0.5, None, 0, truncated=False),
    Scores(0.5, None, 1, truncated=False, highlights=None),  # the next message with this text may get some
]


@pytest.mark.parametrize("scores", unsound)
def test_impossible_scores_are_a_miss_even_with_a_good_seal(scores: Scores) -> None:
    assert not is_sound(scores)
    assert unseal(SECRET, KEY, seal(SECRET, KEY, scores)) is None


class OtherShape(msgspec.Struct, array_like=True):
    """What another version might have stored."""

    risk: str
    severity: int


def test_another_shape_is_a_miss_even_with_a_good_seal() -> None:
    class Sealed(Scores, frozen=True, array_like=True):
        extra: str = "x"

    value = seal(SECRET, KEY, Sealed(0.5, None, 1, truncated=False))
    assert unseal(SECRET, KEY, value) == Scores(
        0.5, None, 1, truncated=False
    )  # a newer version's is readable
    wrong = OtherShape("high", 3)
    assert unseal(SECRET, KEY, seal(SECRET, KEY, wrong)) is None  # type: ignore[arg-type] # the wrong type is the point
    assert len(value) > SEAL_BYTES
