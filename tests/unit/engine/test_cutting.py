"""How long messages are cut: by their sentences, all of it read, up to a limit."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.identity import Windowing
from engine.reading.cutting import Cutter, Rows, joined
from engine.reading.engines import discounted, logit

WINDOWING = Windowing(tokens=12, overlap=6, whole=32, sentences=True)
PLAIN = Windowing(tokens=12, overlap=4, whole=12, sentences=False)


def _bytes(texts: Sequence[str]) -> list[list[int]]:
    """A token a byte."""
    return [list(text.encode()) for text in texts]


def _cut(text: str, windowing: Windowing = WINDOWING, most: int = 4096) -> Rows:
    return Cutter(_bytes, windowing, most, 0).cut([text])


def _texts(rows: Rows) -> list[str]:
    return [bytes(row).decode() for row in rows.tokens]


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=60), max_size=20), st.integers(1, 30), st.data())
def test_windows_hold_every_sentence_in_order(
    sentences: list[list[int]], size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    places = iter(range(10_000))
    numbered = [[next(places) for _ in sentence] for sentence in sentences]
    cut = joined(numbered, size, overlap)
    assert all(0 < len(window) <= size for window in cut)
    assert all(list(window) == list(range(window[0], window[-1] + 1)) for window in cut)
    assert {place for window in cut for place in window} == set(range(sum(map(len, sentences))))
    for sentence in numbered:
        if len(sentence) <= size:  # whole, and in one window alone
            assert sum(bool(set(sentence) & set(window)) for window in cut) == 1


@given(st.text(max_size=400), st.integers(1, 200), st.sampled_from([WINDOWING, PLAIN]))
def test_what_is_read_is_all_or_marked_truncated(text: str, most: int, windowing: Windowing) -> None:
    rows = _cut(text, windowing, most)
    (span,) = rows.spans
    assert (span.start, span.stop) == (0, len(rows.tokens))
    assert all(0 < len(row) <= windowing.whole for row in rows.tokens)
    whole = text.encode()
    if text.strip():
        assert all(bytes(row) in whole for row in rows.tokens if row != [0])
        if len(whole) <= most:
            assert not span.truncated
        if not span.truncated:
            assert whole.strip().endswith(bytes(rows.tokens[-1]).strip())


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("Up to thirty-two bytes are whole", ["Up to thirty-two bytes are whole"]),
        ("One two. Three four! Five six? Yes.", ["One two.", " Three four!", " Five six?", " Yes."]),
        ("Ja. Ja. Ja. Ja. Ja. Ja. Ja. Ja. Ja.", ["Ja. Ja. Ja.", " Ja. Ja. Ja.", " Ja. Ja. Ja."]),
        ("first line\nsecond one\nthird line\nand", ["first line\n", "second one\n", "third line\n", "and"]),
        ("aaaaaaaaaaaaaaaaaaaaaaaa. bbbbbbbb. c", ["a" * 12, "a" * 12, "a" * 11 + ".", " bbbbbbbb. c"]),
    ],
)
def test_a_long_message_is_cut_where_its_sentences_end(text: str, windows: list[str]) -> None:
    found = _texts(_cut(text))
    assert [window for number, window in enumerate(found) if window not in found[:number]] == list(
        dict.fromkeys(windows)
    )


def test_japanese_sentences_end_without_a_space() -> None:
    text = "\u306f\u3044\u3002" * 5  # 9 bytes a sentence
    assert _texts(_cut(text)) == ["\u306f\u3044\u3002"] * 5


def test_half_a_megabyte_costs_no_more_rows_than_its_limit() -> None:
    rows = _cut("a. " * 160_000, most=4096)
    assert rows.spans[0].truncated
    assert sum(map(len, rows.tokens)) == 4096


@given(st.floats(0, 1), st.integers(1, 500), st.floats(0, 3), st.floats(0, 1))
def test_a_discount_lowers_a_risk_and_clears_nobody(
    risk: float, windows: int, discount: float, lower: float
) -> None:
    less = discounted(risk, windows, discount, lower)
    assert less <= risk or less == pytest.approx(risk)
    assert (less < lower) == (risk < lower)
    assert discounted(risk, 1, discount, lower) == risk


def test_a_discount_is_taken_from_the_log_odds() -> None:
    assert logit(0.9) - logit(discounted(0.9, 20, 0.5, 0.1)) == pytest.approx(0.5 * 2.9957, abs=1e-3)
    assert discounted(float("nan"), 5, 0.5, 0.1) != discounted(float("nan"), 5, 0.5, 0.1)
