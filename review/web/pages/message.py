"""Cuts a message into what the page shows of it: highlights as marks, hidden characters by name, and folds.

A message of 100,000 characters would push the decision off the page, and be slow to read. So only its
beginning and what stands around the highlights is shown at once; the rest is folded, and is one key away.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from review.web.pages.glyphs import Glyph, Plain, visible
from schemas.events import Highlight

WHOLE_UP_TO: Final = 3_000
BEGINNING: Final = 1_500
AROUND: Final = 200
SHORTEST_FOLD: Final = 500


class Piece(msgspec.Struct, frozen=True):
    """A stretch of the message, and the highlight that it lies in."""

    what: Plain | Glyph
    mark: Highlight | None


class Block(msgspec.Struct, frozen=True):
    """Consecutive pieces, which are folded together or not at all. `characters` counts code points."""

    pieces: list[Piece]
    characters: int
    folded: bool


def blocks(text: str, highlights: Sequence[Highlight], *, shortened: bool) -> list[Block]:
    """Everything the page shows of a message, in order.

    A highlight that does not fit the text, or overlaps the one before it, is left out: any producer may have
    written it. So are all of them where the text was shortened, because they are places in the whole text.
    """
    marks = [] if shortened else list(_fitting(highlights, len(text)))
    made, at = [], 0
    for start, end in _shown(len(text), marks):
        if at < start:
            made.append(_block(text, at, start, marks, folded=True))
        made.append(_block(text, start, end, marks, folded=False))
        at = end
    if at < len(text):
        made.append(_block(text, at, len(text), marks, folded=True))
    return made


def _fitting(highlights: Sequence[Highlight], length: int) -> Iterator[Highlight]:
    at = 0
    for each in sorted(highlights, key=lambda highlight: highlight.start):
        if at <= each.start < each.end <= length:
            yield each
            at = each.end


def _shown(length: int, marks: Sequence[Highlight]) -> Iterator[tuple[int, int]]:
    """The spans that are not folded, in order and apart from one another."""
    if length <= WHOLE_UP_TO:
        yield 0, length
        return
    start, end = 0, BEGINNING
    for mark in marks:
        if mark.start - AROUND - end >= SHORTEST_FOLD:
            yield start, end
            start = mark.start - AROUND
        end = max(end, min(length, mark.end + AROUND))
    yield start, length if length - end < SHORTEST_FOLD else end


def _block(text: str, start: int, end: int, marks: Sequence[Highlight], *, folded: bool) -> Block:
    pieces, at = [], start
    for mark in marks:
        if start <= mark.start < end:
            pieces += [Piece(each, None) for each in visible(text[at : mark.start])]
            pieces += [Piece(each, mark) for each in visible(text[mark.start : mark.end])]
            at = mark.end
    pieces += [Piece(each, None) for each in visible(text[at:end])]
    return Block(pieces, end - start, folded)
