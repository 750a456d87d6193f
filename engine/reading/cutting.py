"""How messages become rows: a short one whole, a longer one in windows that end where its sentences end.

A mean over many tokens hides one sentence among friendly ones, so a window is about as long as the messages
that the heads were fitted on. Sentences are read alone and not by the words that happen to stand around them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.identity import Windowing
from engine.reading.packing import windows

Tokens = Sequence[int]

# After a full stop, a question or exclamation mark before a space; after a line's end, and after those of
# Japanese and Chinese, which no space follows.
_ENDS: Final = re.compile(r"(?<=[.!?…])(?=\s)|(?<=[\n\u3002\uff01\uff1f])")


class Span(NamedTuple):
    """The rows of one message. `truncated`: some of it is in no row."""

    start: int
    stop: int
    truncated: bool


class Rows(NamedTuple):
    """The rows of a batch of messages, in order, and whose they are."""

    tokens: list[Tokens]
    spans: list[Span]


class Cutter:
    """Cuts messages as a bundle's windowing says; beyond `most` tokens of a message none is read."""

    def __init__(
        self,
        tokenise: Callable[[Sequence[str]], list[list[int]]],
        windowing: Windowing,
        most: int,
        blank: int,
    ) -> None:
        """`blank` is a token to run where there is nothing to read."""
        self._tokenise = tokenise
        self._windowing = windowing
        self._most = most
        self._blank = blank

    def cut(self, texts: Sequence[str], suffix: Tokens = ()) -> Rows:
        """The rows of `texts`, `suffix` after each window.

        A message without tokens gets one row too, of the suffix or else of the blank token, and counts
        as truncated, so that nobody takes it for read.
        """
        rows: list[Tokens] = []
        spans: list[Span] = []
        for text, message in zip(texts, self._tokenise(texts), strict=True):
            pieces, truncated = self._windows(text, message)
            start = len(rows)
            rows += [[*piece, *suffix] for piece in pieces] or [list(suffix) or [self._blank]]
            spans.append(Span(start, len(rows), truncated or not pieces))
        return Rows(rows, spans)

    def _windows(self, text: str, message: Tokens) -> tuple[list[Tokens], bool]:
        windowing = self._windowing
        if len(message) <= min(windowing.whole, self._most):
            return ([message] if message else []), False
        parts: list[Tokens] = [message]
        unseen = False
        if windowing.sentences:
            split = sentences(text)
            # A sentence has a token or more: of a text that is all full stops, so many are looked at.
            unseen = len(split) > self._most
            parts = list(filter(None, self._tokenise(split[: self._most])))
        parts, truncated = _first(parts, self._most)
        return joined(parts, windowing.tokens, windowing.overlap), truncated or unseen


def sentences(text: str) -> list[str]:
    """The sentences of a text, with the spaces that stand between them."""
    return [sentence for sentence in _ENDS.split(text) if sentence.strip()]


def joined(parts: Sequence[Tokens], size: int, overlap: int) -> list[Tokens]:
    """Windows of at most `size` tokens that hold all sentences, `parts`, in order.

    Neighbouring sentences share a window where they fit into one. A sentence that fits into none is cut into
    windows that share `overlap`.
    """
    cut: list[Tokens] = []
    opened: list[int] = []
    for sentence in parts:
        if opened and len(opened) + len(sentence) > size:
            cut.append(opened)
            opened = []
        if len(sentence) > size:
            cut += windows(sentence, size, overlap)
        else:
            opened = [*opened, *sentence]
    return [*cut, opened] if opened else cut


def _first(parts: Sequence[Tokens], most: int) -> tuple[list[Tokens], bool]:
    """The first `most` tokens, and whether there were more."""
    kept: list[Tokens] = []
    room = most
    for sentence in parts:
        if len(sentence) > room:
            return ([*kept, sentence[:room]] if room else kept), True
        kept.append(sentence)
        room -= len(sentence)
    return kept, False
