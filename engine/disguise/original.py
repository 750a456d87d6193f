"""Finds the spans of a variant in the text that it was made of. Pure, linear.

Disguises are undone word by word, so most words of a variant stand in the original too. Words at both ends
that are the same are paired. Where as many others lie between them in either text, they are paired in order;
else (letters stood apart, or a text was decoded) all of them together are one place.
"""

import re
from collections.abc import Sequence
from typing import Final

from engine.disguise.variant import Variant
from schemas.events import Highlight

_WORD: Final = re.compile(r"\S+")

Place = tuple[int, int]


def in_original(text: str, variant: Variant, highlights: Sequence[Highlight]) -> tuple[Highlight, ...]:
    """Return `highlights` of the variant as places in `text`: whole words, in order, without overlap."""
    if variant.text is None:
        return tuple(highlights)
    words = [match.span() for match in _WORD.finditer(variant.text)]
    origins = _origins(text, [variant.text[start:stop] for start, stop in words])
    found: list[Highlight] = []
    for each in highlights:
        of = [
            origin
            for (start, stop), origin in zip(words, origins, strict=True)
            if origin is not None and start < each.end and each.start < stop
        ]
        if not of:
            continue
        place = Highlight(min(start for start, _ in of), max(stop for _, stop in of), each.weight)
        if found and place.start < found[-1].end:
            last = found.pop()
            weight = min(1.0, round(last.weight + place.weight, 3))
            place = Highlight(last.start, max(last.end, place.end), weight)
        found.append(place)
    return tuple(found)


def _origins(text: str, words: Sequence[str]) -> list[Place | None]:
    """For each of the variant's `words` the place in `text` that it comes from; None where there is none."""
    places = [match.span() for match in _WORD.finditer(text)]
    originals = [text[start:stop] for start, stop in places]
    first = _same(originals, words)
    last = _same(originals[first:][::-1], words[first:][::-1])
    middle = places[first : len(places) - last]
    changed = len(words) - first - last
    between: list[Place | None]
    if len(middle) == changed:
        between = list(middle)
    else:
        between = [(middle[0][0], middle[-1][1]) if middle else None] * changed
    return [*places[:first], *between, *places[len(places) - last :]]


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words at the start are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
