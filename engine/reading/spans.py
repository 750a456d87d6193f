"""Turns the contributions of tokens into the few spans of a text that contributed most. Pure.

Contributions are summed over words. A token's state also holds what stood before it, so that what a word adds
is its rise: its contribution less the mean of those of the words before it. Spans taken by the rise lower the
score further, and more surely, than as much text taken by the contribution (docs/benchmarks/highlights.md).

The maximal stretches of words that rise more than others of their text are the spans (Ruzzo and Tompa, "A
linear time algorithm for finding all maximal scoring subsequences", ISMB 1999); the best few are kept.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.events import Highlight

MOST: Final = 5  # spans of a message
_LEAST: Final = 0.05  # of the rises; a smaller share says nothing
_ABOVE: Final = 0.5  # standard deviations above the mean rise: about a third of the text is marked

# Where words are written without spaces between them, a character stands for a word.
_ALONE: Final = "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD: Final = re.compile(f"[{_ALONE}][\u3099\u309a\ufe00-\ufe0f\u30fc]*|[^\\s{_ALONE}]+")

Place = tuple[int, int]  # from and to which code point of the text a token stands


class _Stretch(NamedTuple):
    """Words `start` to `stop`, and the sums of all values up to either end."""

    start: int
    stop: int
    before: float
    after: float


def spans(text: str, places: Sequence[Place], values: Sequence[float]) -> tuple[Highlight, ...]:
    """Return the spans of `text` that raise the score most, in order; none where nothing stands out.

    `values` are the contributions of tokens, `places` where each token stands. A span's weight is its share
    of all rises.
    """
    if not places:
        return ()
    low, high = min(start for start, _ in places), max(stop for _, stop in places)
    words = [match.span() for match in _WORD.finditer(text, low, high)]
    rises = _rises(_per_word(text, places, values, words))
    raised = float(rises[rises > 0].sum())
    if not raised > 0:
        return ()
    above = rises - max(0.0, float(rises.mean() + _ABOVE * rises.std()))
    best = sorted(maximal(above.tolist()), key=lambda found: found[0], reverse=True)[:MOST]
    found = [
        Highlight(words[start][0], words[stop - 1][1], min(1.0, float(rises[start:stop].sum()) / raised))
        for _, start, stop in best
    ]
    kept = [each for each in found if each.weight >= _LEAST] or found[:1]
    return tuple(
        Highlight(each.start, each.end, round(each.weight, 3))
        for each in sorted(kept, key=lambda each: each.start)
    )


def _rises(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value less the mean of those before it; of the first one, all of it."""
    before = np.cumsum(values)[:-1] / np.arange(1, max(1, len(values)))
    return np.concatenate([values[:1], values[1:] - before])


def _per_word(
    text: str, places: Sequence[Place], values: Sequence[float], words: Sequence[Place]
) -> NDArray[np.float64]:
    """Sum the tokens' values over words; a token over several words is divided by its characters."""
    each = np.zeros(len(text) + 1)  # what each character contributes, after a 0
    for (start, stop), value in zip(places, values, strict=True):
        seen = [at for at in range(start, stop) if not text[at].isspace()]
        if seen:
            each[[at + 1 for at in seen]] += value / len(seen)
    up_to = np.cumsum(each)
    return np.array([up_to[stop] - up_to[start] for start, stop in words], np.float64)


def maximal(values: Sequence[float]) -> list[tuple[float, int, int]]:
    """Return the maximal stretches of `values` with a positive sum, each as sum, start and stop.

    They do not overlap, no stretch can be extended or shortened to a higher sum, and each positive value is
    in one.
    """
    found: list[_Stretch] = []
    total = 0.0
    for index, value in enumerate(values):
        before, total = total, total + value
        if not value > 0:
            continue
        new = _Stretch(index, index + 1, before, total)
        while True:
            earlier = next((i for i in reversed(range(len(found))) if found[i].before < new.before), None)
            if earlier is None or found[earlier].after >= new.after:
                break
            new = _Stretch(found[earlier].start, new.stop, found[earlier].before, new.after)
            del found[earlier:]
        found.append(new)
    return [(each.after - each.before, each.start, each.stop) for each in found]
