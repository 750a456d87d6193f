"""Spans are places in the text that they were found in, whatever the text; and the best there are."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.disguise.original import in_original
from engine.disguise.variant import PLAIN, Variant, vary
from engine.reading.spans import MOST, maximal, spans
from schemas.events import Highlight

VALUES = st.floats(-5, 5, allow_nan=False)
TEXTS = st.text(
    st.one_of(
        st.characters(), st.sampled_from(" \n\t\u3000\u200b\u200d\u202e\u0301眠れない😔\U0001f468\ufe0f")
    ),
    max_size=60,
)


@st.composite
def readings(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]], list[float]]:
    """A text, tokens that stand anywhere in it, and what they contribute."""
    text = draw(TEXTS)
    ends = st.integers(0, len(text))
    places = draw(st.lists(st.tuples(ends, ends).map(lambda two: (min(two), max(two))), max_size=30))
    return text, places, draw(st.lists(VALUES, min_size=len(places), max_size=len(places)))


def assert_places(highlights: tuple[Highlight, ...], text: str) -> None:
    """They are whole words of the text, in order, apart, and shares of one."""
    assert len(highlights) <= MOST
    end = 0
    for each in highlights:
        assert end <= each.start < each.end <= len(text)
        covered = text[each.start : each.end]
        assert covered == covered.strip()
        assert 0.0 <= each.weight <= 1.0
        end = each.end


@given(readings())
def test_spans_of_any_text_are_places_in_it(reading: tuple[str, list[tuple[int, int]], list[float]]) -> None:
    text, places, values = reading
    found = spans(text, places, values)
    assert_places(found, text)
    assert sum(each.weight for each in found) <= 1.0 + 0.001 * MOST
    assert bool(found) <= any(value != 0 for value in values)


def test_the_words_that_contribute_are_found() -> None:
    text = "hello there 😔 I cannot sleep any more, see you at eight"
    words = text.split()
    places = [(text.index(word), text.index(word) + len(word)) for word in words]
    values = [1.0 if word in {"cannot", "sleep"} else 0.02 for word in words]
    (found,) = spans(text, places, values)
    assert text[found.start : found.end] == "cannot sleep"
    assert found.weight == pytest.approx((0.98 + 0.784) / (0.02 + 0.98 + 0.784), abs=0.002)


def test_a_token_with_its_space_and_a_word_in_two_tokens_count_for_the_word() -> None:
    text = "fine, sleepless"
    (found,) = spans(text, [(0, 4), (4, 5), (5, 11), (11, 15)], [0.0, -0.1, 0.6, 0.4])
    assert text[found.start : found.end] == "sleepless"


def test_where_no_spaces_part_words_characters_do() -> None:
    text = "今日は眠れないです"
    values = [1.0 if char in "眠れない" else 0.0 for char in text]
    (found,) = spans(text, [(at, at + 1) for at in range(len(text))], values)
    assert text[found.start : found.end] == "眠れない"


def test_a_word_counts_for_what_it_adds_to_those_before_it() -> None:
    """The state of a token holds what stood before it: a high value that stays high is no news."""
    text = "they fired me and then we went home"
    places = [match.span() for match in re.finditer(r"\S+", text)]
    (found,) = spans(text, places, [0.0, 0.9, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3])
    assert text[found.start : found.end] == "fired"


def test_nothing_stands_out_where_nothing_raises_the_score() -> None:
    assert spans("good morning", [(0, 4), (4, 12)], [-0.5, -1.0]) == ()
    assert spans("", [], []) == ()
    assert spans(" \n", [(0, 2)], [1.0]) == ()


@given(st.lists(st.integers(-4, 4).map(float), max_size=9))
def test_maximal_stretches_are_what_trying_all_of_them_gives(values: list[float]) -> None:
    """By their definition: the best stretch (the shortest of equals), and so on left and right of it."""

    def best(low: int, high: int) -> list[tuple[float, int, int]]:
        tried = [
            (sum(values[start:stop]), start, stop) for start, stop in combinations(range(low, high + 1), 2)
        ]
        if not tried or max(tried)[0] <= 0:
            return []
        top = max(total for total, *_ in tried)
        _, start, stop = min((s for s in tried if s[0] == top), key=lambda s: (s[2] - s[1], s[1]))
        return [*best(low, start), (top, start, stop), *best(stop, high)]

    found = maximal(values)
    assert sorted(start for _, start, _ in found) == [start for _, start, _ in found]
    assert all(total == sum(values[start:stop]) > 0 for total, start, stop in found)
    expected = best(0, len(values))
    assert sum(total for total, *_ in found) == sum(total for total, *_ in expected)
    assert max((total for total, *_ in found), default=0) == max((t for t, *_ in expected), default=0)
    assert all(
        any(start <= at < stop for _, start, stop in found) for at, value in enumerate(values) if value > 0
    )


@given(TEXTS, TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.floats(0, 1)), max_size=5))
def test_places_of_any_variant_become_places_of_the_original(
    text: str, variant: str, drawn: list[tuple[int, int, float]]
) -> None:
    """Even of a variant that was not made of this text."""
    highlights: list[Highlight] = []
    for start, length, weight in sorted(drawn):
        if start >= (highlights[-1].end if highlights else 0) and start + length <= len(variant):
            highlights.append(Highlight(start, start + length, weight))
    assert_places(in_original(text, Variant(variant, obfuscated=False), highlights), text)


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("hi, I h4te my l1fe, bye", "life,", "l1fe,"),
        ("ok so I CAN NOT DO THIS ANY MORE", "not do", "NOT DO"),
        ("we met and I h\u200bat\u200be\u200b it all", "hate", "h\u200bat\u200be\u200b"),
        ("soooo tired, I caaaan not sleep", "can", "caaaan"),
        ("today I want to k i l l myself, sorry", "kill", "k i l l"),
        ("he said &#104;ate and left", "hate", "&#104;ate"),
    ],
)
def test_what_a_disguise_hides_is_marked_in_the_text_as_sent(text: str, word: str, expected: str) -> None:
    variant = vary(text)
    assert variant.text is not None
    at = variant.text.index(word)
    (found,) = in_original(text, variant, [Highlight(at, at + len(word), 0.5)])
    assert text[found.start : found.end] == expected


def test_a_text_without_variant_keeps_its_places() -> None:
    assert in_original("as it is", PLAIN, [Highlight(3, 5, 0.5)]) == (Highlight(3, 5, 0.5),)
