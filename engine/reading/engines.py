"""The two readings: how a device's numbers become scores. engine.bundle says what a bundle holds."""

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Heads, LabelToken
from engine.device_names import Stage
from engine.devices.device import Floats
from engine.identity import ScoreIdentity
from engine.odds import log_odds, restated, sigmoid
from engine.reading.cutting import Span
from engine.reading.highlights import NONE, Highlighter, Watch
from engine.reading.reader import Reader
from engine.scores import Scores
from schemas.vocabulary import Reading

Array = NDArray[np.float64]


class TextEngine:
    """What both readings share: a reader, the way messages are cut (by `identity`), and what runs."""

    reading: Reading

    def __init__(self, identity: ScoreIdentity, reader: Reader) -> None:
        self.identity = identity
        self.device: str = reader.device.name
        self.precision: str = reader.device.precision
        self._reader = reader
        self._cutter = reader.cutter(identity.windowing, identity.max_message_tokens)

    def describe(self) -> str:
        """See Engine.describe."""
        threads = self._reader.device.threads
        counted = f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""
        return f"{self.device} {self.precision}{counted}"

    def _values(self, texts: Sequence[str], suffix: Sequence[int]) -> tuple[Floats, list[Span]]:
        rows = self._cutter.cut(texts, suffix)
        return self._reader.rows(rows.tokens), rows.spans


class PooledEngine(TextEngine):
    """Applies linear heads to the mean hidden state of a message's tokens: risk and severity in one pass."""

    reading: Reading = "pooled"

    def __init__(
        self,
        identity: ScoreIdentity,
        heads: Heads,
        reader: Reader,
        highlighter: Highlighter | None = None,
        depth: int | None = None,
    ) -> None:
        """`heads` are those of the identity's model, `depth` the layer whose vectors they read.

        Without a `highlighter`, scores have no highlights.
        """
        super().__init__(identity, reader)
        self._highlighter = highlighter
        self._heads = heads
        self._depth = depth
        self._odds = identity.odds
        # A discount is subtracted from log-odds, and so it is stretched with them.
        self._discount = identity.windowing.discount * (identity.odds.slope if identity.odds else 1.0)
        self._floor = identity.floor

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        if not texts:
            return []
        rows, spans = self._cutter.cut(texts)
        watch = None if self._highlighter is None else self._highlighter.watch(rows)

        def note(group: Sequence[int], vectors: Floats) -> None:
            if watch is not None:
                watch.note(group, self._scored(vectors)[0])

        return self._scores(texts, self._reader.rows(rows, note=note), spans, watch)

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade."""
        return [scores.severity or () for scores in self.read(texts)]

    def _scored(self, vectors: Floats) -> tuple[Array, Array]:
        """Risks [N] and severities [N, S] of rows."""
        risks, severities = apply_heads(self._heads, vectors)
        return restated(risks, self._odds), severities

    def _scores(
        self, texts: Sequence[str], vectors: Floats, spans: Sequence[Span], watch: Watch | None
    ) -> list[Scores]:
        """The scores of texts whose windows have these vectors, and were noted by `watch`."""
        risks, severities = self._scored(vectors)
        return [
            Scores(
                discounted(float(risks[row]), span.stop - span.start, self._discount, self._floor),
                floats(severities[row]),
                span.stop - span.start,
                span.truncated,
                depth=self._depth,
                highlights=NONE if watch is None else watch.highlights(text, row, row - span.start),
            )
            for text, (span, row) in zip(texts, highest(spans, risks), strict=True)
        ]


class PromptedEngine(TextEngine):
    """Reads the label tokens' logits after prefix, message and question. Needs no labelled examples."""

    reading: Reading = "prompted"

    def __init__(
        self,
        identity: ScoreIdentity,
        labels: Sequence[LabelToken],
        reader: Reader,
        depth: int | None = None,
    ) -> None:
        """`labels` are the columns of `label_logits`, in the manifest's order; `depth` counts all layers."""
        super().__init__(identity, reader)
        self._depth = depth
        self._columns = {
            stage: [column for column, label in enumerate(labels) if label.stage == stage]
            for stage in get_args(Stage)
        }
        _, self._risk_suffix, self._severity_suffix = reader.prompt

    def read(self, texts: Sequence[str]) -> list[Scores]:
        """See Engine.read."""
        if not texts:
            return []
        logits, spans = self._values(texts, self._risk_suffix)
        risks = restated(softmax(logits[:, self._columns["risk"]])[:, 1], self.identity.odds)
        return [
            Scores(float(risks[row]), None, span.stop - span.start, span.truncated, depth=self._depth)
            for span, row in highest(spans, risks)
        ]

    def grade(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """See Engine.grade."""
        if not texts:
            return []
        logits, spans = self._values(texts, self._severity_suffix)
        severities = softmax(logits[:, self._columns["severity"]])
        levels = severities @ np.arange(severities.shape[1])
        return [floats(severities[row]) for _, row in highest(spans, levels)]


def apply_heads(heads: Heads, vectors: Floats) -> tuple[Array, Array]:
    """Compute risk [N] and severity [N, S] of pooled vectors [N, H]; not-a-number where one is not finite."""
    # An infinite value, of fp16 that overflowed, would be a risk of 0 or 1. People read what is not a number.
    finite = np.where(np.isfinite(vectors), vectors, np.nan).astype(np.float64)
    z = (finite - heads.mean) / heads.scale
    risks = sigmoid(z @ heads.risk_weight.astype(np.float64) + heads.risk_bias)
    return risks, softmax(z @ heads.severity_weight.T.astype(np.float64) + heads.severity_bias)


def discounted(risk: float, windows: int, discount: float, floor: float) -> float:
    """Reduce the risk of the riskiest window by what many windows add by chance. See Windowing.

    A risk above `floor`, the lower threshold, is never reduced below it: no message is cleared because it is
    long.
    """
    if windows == 1 or not risk > floor:  # not-a-number stays as it is
        return risk
    # Dividing the odds subtracts from the log-odds.
    odds_against: float = (1.0 - risk) * windows**discount
    return max(floor, risk / (risk + odds_against))


def logit(risk: float) -> float:
    """The log-odds of one risk."""
    return float(log_odds(np.asarray(risk, np.float64)))


def softmax(logits: NDArray[np.floating]) -> Array:
    """Softmax over the last axis, in double precision."""
    exp = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True), np.float64)


def highest(spans: Sequence[Span], values: Array) -> Iterator[tuple[Span, int]]:
    """Each message with its row of the highest value; not-a-number counts as highest (nothing fails open)."""
    for span in spans:
        yield span, span.start + int(np.argmax(values[span.start : span.stop]))


def floats(values: Array) -> tuple[float, ...]:
    """The values as numbers of Python."""
    return tuple(float(value) for value in values)
