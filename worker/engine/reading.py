"""The two readings: how a device's numbers become scores. See worker.bundle for what a bundle holds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.bundle import Bundle, Heads, Reading
from worker.engine.contract import Floats
from worker.engine.packing import windows
from worker.engine.reader import Reader
from worker.scores import Scores

Array = NDArray[np.float64]


class Windowing(NamedTuple):
    """How long messages are read: windows of `tokens`, neighbours sharing `overlap`, at most `limit`."""

    tokens: int = 256
    overlap: int = 32
    limit: int = 16


class Span(NamedTuple):
    """The rows of one message. `truncated`: some of it is in no row."""

    start: int
    stop: int
    truncated: bool


class Rows(NamedTuple):
    """The rows of a batch of messages, in order, and whose they are."""

    tokens: list[Sequence[int]]
    spans: list[Span]


def cut(messages: Sequence[Sequence[int]], windowing: Windowing, suffix: Sequence[int], blank: int) -> Rows:
    """Cut tokenised messages into rows, `suffix` after each window.

    A message without tokens gets one row too, of the suffix or else of the token `blank`, and counts
    as truncated, so that nobody takes it for read.
    """
    rows: list[Sequence[int]] = []
    spans: list[Span] = []
    for message in messages:
        pieces, truncated = windows(message, windowing.tokens, windowing.overlap, windowing.limit)
        start = len(rows)
        rows += [[*piece, *suffix] for piece in pieces] or [list(suffix) or [blank]]
        spans.append(Span(start, len(rows), truncated or not pieces))
    return Rows(rows, spans)


class _TextEngine:
    """What both readings share: a reader, how messages are cut, and what runs."""

    def __init__(self, bundle: Bundle, reader: Reader, windowing: Windowing, blank: int) -> None:
        self.device: str = reader.device.name
        self.precision: str = reader.device.precision
        self.reading: Reading = bundle.manifest.reading
        self._reader = reader
        self._windowing = windowing
        self._blank = blank

    def describe(self) -> str:
        """See Engine.describe."""
        threads = self._reader.device.threads
        counted = f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""
        return f"{self.device} {self.precision}{counted}"

    def _values(self, texts: Sequence[str], suffix: Sequence[int]) -> tuple[Floats, list[Span]]:
        rows = cut(self._reader.tokenise(texts), self._windowing, suffix, self._blank)
        return self._reader.rows(rows.tokens), rows.spans


class PooledEngine(_TextEngine):
    """Linear heads on the mean hidden state of the message's own tokens: risk and severity in one pass."""

    def __init__(
        self, bundle: Bundle, heads: Heads, reader: Reader, windowing: Windowing, blank: int
    ) -> None:
        """`heads` are the bundle's."""
        super().__init__(bundle, reader, windowing, blank)
        self._heads = heads

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        if not texts:
            return []
        vectors, spans = self._values(texts, ())
        risks, severities = apply_heads(self._heads, vectors)
        return [
            Scores(float(risks[row]), _floats(severities[row]), span.stop - span.start, span.truncated)
            for span, row in _highest(spans, risks)
        ]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade."""
        return [scores.severity or () for scores in self.read(texts)]


class PromptedEngine(_TextEngine):
    """The label tokens' logits after prefix, message and question. Needs no labelled examples."""

    def __init__(self, bundle: Bundle, reader: Reader, windowing: Windowing, blank: int) -> None:
        """The columns of `label_logits` are those of the manifest."""
        super().__init__(bundle, reader, windowing, blank)
        labels = bundle.manifest.labels
        self._columns = {
            stage: [column for column, label in enumerate(labels) if label.stage == stage]
            for stage in ("risk", "severity")
        }
        _, self._risk_suffix, self._severity_suffix = reader.prompt

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        if not texts:
            return []
        logits, spans = self._values(texts, self._risk_suffix)
        risks = softmax(logits[:, self._columns["risk"]])[:, 1]
        return [
            Scores(float(risks[row]), None, span.stop - span.start, span.truncated)
            for span, row in _highest(spans, risks)
        ]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade."""
        if not texts:
            return []
        logits, spans = self._values(texts, self._severity_suffix)
        severities = softmax(logits[:, self._columns["severity"]])
        levels = severities @ np.arange(severities.shape[1])
        return [_floats(severities[row]) for _, row in _highest(spans, levels)]


def apply_heads(heads: Heads, vectors: Floats) -> tuple[Array, Array]:
    """Risk [N] and severity [N, S] of pooled vectors [N, H]."""
    z = (vectors.astype(np.float64) - heads.mean) / heads.scale
    risks = sigmoid(z @ heads.risk_weight.astype(np.float64) + heads.risk_bias)
    return risks, softmax(z @ heads.severity_weight.T.astype(np.float64) + heads.severity_bias)


def sigmoid(x: Array) -> Array:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float64)


def softmax(logits: NDArray[np.floating]) -> Array:
    """Softmax over the last axis, in double precision."""
    exp = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True), np.float64)


def _highest(spans: Sequence[Span], values: Array) -> Iterator[tuple[Span, int]]:
    """Each message with its row of the highest value; not-a-number counts as highest (nothing fails open)."""
    for span in spans:
        yield span, span.start + int(np.argmax(values[span.start : span.stop]))


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
