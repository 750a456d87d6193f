"""A message is shown with its marks, and a long one is folded around them."""

import pytest

from review.web.pages.glyphs import Glyph
from review.web.pages.message import Block, blocks
from schemas.events import Highlight


def cut(text: str, *places: tuple[int, int], shortened: bool = False) -> list[Block]:
    return blocks(text, [Highlight(start, end, 0.5) for start, end in places], shortened=shortened)


def marked(made: list[Block]) -> list[str]:
    return [piece.what.text for block in made for piece in block.pieces if piece.mark]


def whole(made: list[Block]) -> str:
    return "".join(piece.what.text for block in made for piece in block.pieces)


def test_places_are_code_points() -> None:
    text = "😔 fine, can't sleep again"
    start = text.index("can't")
    made = cut(text, (start, start + len("can't sleep")), (2, 6))
    assert marked(made) == ["fine", "can't sleep"]
    assert whole(made) == text


@pytest.mark.parametrize("places", [[(5, 5)], [(8, 2)], [(0, 99)], [(99, 120)], [(0, 4), (2, 6)]])
def test_places_that_do_not_fit_the_text_are_left_out(places: list[tuple[int, int]]) -> None:
    assert len(marked(cut("I cannot sleep", *places))) == (len(places) == 2)


def test_a_shortened_text_is_not_marked() -> None:
    assert marked(cut("the beginning […] the end", (4, 13), shortened=True)) == []


def test_a_hidden_character_in_a_mark_is_named_and_marked() -> None:
    pieces = cut("I can\u200bnot sleep", (2, 9))[0].pieces
    assert [isinstance(piece.what, Glyph) for piece in pieces if piece.mark] == [False, True, False]


def test_an_ordinary_message_is_whole() -> None:
    assert [block.folded for block in cut("word " * 600)] == [False]


def test_a_long_message_shows_its_beginning_and_what_stands_around_marks() -> None:
    text = "".join(f"{number:05} " for number in range(20_000))
    made = cut(text, (60_000, 60_006), (60_300, 60_306), (119_990, 119_996))
    assert [block.folded for block in made] == [False, True, False, True, False]
    assert [block.characters for block in made if not block.folded] == [1500, 706, 210]
    assert marked(made) == ["10000 ", "10050 ", text[119_990:119_996]]
    assert whole(made) == text
    assert sum(block.characters for block in made) == len(text)


def test_an_empty_text_is_a_text() -> None:
    assert whole(cut("")) == ""
