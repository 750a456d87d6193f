"""Cuts messages into rows: a short one stays whole, a longer one becomes windows that end with a sentence.

A mean over many tokens hides one sentence among friendly ones. So a window is about as long as the messages
that the heads were fitted on, and a sentence is read without the text that happens to surround it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.identity import Windowing
from engine.reading.packing import windows

Tokens = Sequence[int]

# A sentence ends after a full stop, question mark or exclamation mark before a space, at the end of a line,
# and after the marks of Japanese and Chinese, which no space follows.
_ENDS: Final = re.compile(r"(?<=[.!?…])(?=\s)|(?<=[\n\u3002\uff01\uff1f])")


class Span(NamedTuple):
    """The rows of one message. `truncated`: a part of the message is in no row."""

    start: int
    stop: int
    truncated: bool


class Rows(NamedTuple):
    """The rows of a batch of messages in order, and which rows belong to which message."""

    tokens: list[Tokens]
    spans: list[Span]


class Cutter:
    """Cuts messages as a bundle's windowing says. Only the first `most` tokens of a message are read."""

    def __init__(
        self,
        tokenise: Callable[[Sequence[str]], list[list[int]]],
        windowing: Windowing,
        most: int,
        blank: int,
    ) -> None:
        """`blank` is the token that runs where a message has none."""
        self._tokenise = tokenise
        self._windowing = windowing
        self._most = most
        self._blank = blank

    def cut(self, texts: Sequence[str], suffix: Tokens = ()) -> Rows:
        """Return the rows of `texts`, with `suffix` after each window.

        A message without tokens gets one row too, which is the suffix or else the blank token. It counts as
        truncated, so that nobody takes it for a message that was read.
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
        sentences: list[Tokens] = [message]
        unseen = False
        if windowing.sentences:
            split = sentences_of(text)
            # A sentence has at least one token. So of a text that is all full stops, only this many need to
            # be split.
            unseen = len(split) > self._most
            sentences = list(filter(None, self._tokenise(split[: self._most])))
        sentences, truncated = _first(sentences, self._most)
        return joined(sentences, windowing.tokens, windowing.overlap), truncated or unseen


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text, with the spaces that stand between them."""
    return [sentence for sentence in _ENDS.split(text) if sentence.strip()]


def joined(sentences: Sequence[Tokens], size: int, overlap: int) -> list[Tokens]:
    """Return windows of at most `size` tokens that hold all of `sentences` in order.

    Neighbouring sentences share a window where they fit into one. A sentence that is too long for a window is
    cut into windows that share `overlap` tokens.
    """
    cut: list[Tokens] = []
    opened: list[int] = []
    for sentence in sentences:
        if opened and len(opened) + len(sentence) > size:
            cut.append(opened)
            opened = []
        if len(sentence) > size:
            cut += windows(sentence, size, overlap)
        else:
            opened = [*opened, *sentence]
    return [*cut, opened] if opened else cut


def _first(sentences: Sequence[Tokens], most: int) -> tuple[list[Tokens], bool]:
    """The first `most` tokens, and whether there were more."""
    kept: list[Tokens] = []
    room = most
    for sentence in sentences:
        if len(sentence) > room:
            return ([*kept, sentence[:room]] if room else kept), True
        kept.append(sentence)
        room -= len(sentence)
    return kept, False
