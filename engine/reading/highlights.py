"""Highlights: which spans of a message raised its risk. They cost no second pass, and change no score.

The pooled vector is the mean of the tokens' states, and the risk head is linear. So the log-odds of a window
of n tokens are a sum over its tokens, up to the bias:

    log-odds = bias + sum of  weight · (state - mean) / scale / n

A token's state also holds what stood before it, so this says where the model's reading rose, which is not
always the word that caused it. The device keeps the states of its last run, and only those of risky rows are
fetched. Where anything here fails, a message has no highlights, and keeps its scores.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from engine.bundle import Heads
from engine.errors import BundleError
from engine.identity import Windowing
from engine.reading.cutting import Cutter
from engine.reading.reader import Reader
from engine.reading.spans import Place, spans
from schemas.events import Highlight

log = structlog.get_logger()

Array = NDArray[np.float64]

NONE: Final[tuple[Highlight, ...]] = ()


class Highlighter:
    """Finds highlights for the rows that `reader` has read. Not thread-safe.

    Only rows with a risk of `least` or more are looked at.
    """

    def __init__(self, heads: Heads, reader: Reader, windowing: Windowing, most: int, least: float) -> None:
        """`windowing` and `most` say how the engine cuts messages."""
        self._heads = heads
        self._reader = reader
        self._windowing = windowing
        self._most = most
        self._least = least
        self._slope = (heads.risk_weight / heads.scale).astype(np.float32)
        self._shift = float(heads.mean.astype(np.float64) @ self._slope.astype(np.float64))

    def watch(self, rows: Sequence[Sequence[int]]) -> "Watch":
        """Return what notes the tokens' contributions while `rows` are read."""
        return Watch(self, rows)

    def contributions(self, group: Sequence[int], risks: Array, rows: Sequence[Sequence[int]]) -> "Values":
        """Return the contributions of the tokens of each risky row among those of the last run.

        `group` are the indices of the run's rows within `rows`, `risks` [len(group)] their risks.
        """
        risky = np.flatnonzero(risks >= self._least).tolist()
        if not risky:
            return {}
        states = self._reader.device.tokens(risky)  # [risky, L, H]
        raised = (states @ self._slope).astype(np.float64) - self._shift
        counts = [len(rows[group[place]]) for place in risky]
        return {
            group[place]: line[:count] / count
            for place, line, count in zip(risky, raised, counts, strict=True)
        }

    def find(self, text: str, window: int, values: Array) -> tuple[Highlight, ...]:
        """Return the spans of `text` that the contributions of its `window`-th row point to."""
        places = self.places(text)[window]
        if not places:  # a message without tokens, for which a blank one was read
            return NONE
        if len(places) != len(values):
            raise BundleError("the tokenizer gives other tokens where it also gives their places")
        return spans(text, places, values.tolist())

    def places(self, text: str) -> list[list[Place]]:
        """Return the place in `text` of every token of every row that the text is cut into."""
        found: list[Place] = []

        def tokenise(texts: Sequence[str]) -> list[list[int]]:
            # The first call has the whole text, and a second one its sentences. A sentence is found where it
            # stands, because only blanks are left out between them.
            at, rows = 0, []
            for part in texts:
                at = text.index(part, at)
                first = len(found)
                found.extend((at + start, at + stop) for start, stop in self._reader.places(part))
                rows.append(list(range(first, len(found))))
                at += len(part)
            return rows

        # The same cutter as for tokens cuts their numbers, so that both are cut alike.
        rows = Cutter(tokenise, self._windowing, self._most, -1).cut([text]).tokens
        return [[found[number] for number in row if number >= 0] for row in rows]


Values = dict[int, Array]


class Watch:
    """Notes the contributions of risky rows, run by run. It never raises."""

    def __init__(self, highlighter: Highlighter, rows: Sequence[Sequence[int]]) -> None:
        self._highlighter = highlighter
        self._rows = rows
        self._values: Values = {}
        self._failed: set[int] = set()

    def note(self, group: Sequence[int], risks: Array) -> None:
        """Note the last run: the indices of its rows, and their risks."""
        try:
            self._values |= self._highlighter.contributions(group, risks, self._rows)
        except Exception as error:  # noqa: BLE001 - a highlight is lost, and no label
            self._failed |= set(group)
            _warn(error)

    def highlights(self, text: str, row: int, window: int) -> tuple[Highlight, ...] | None:
        """Return those of `text`, whose riskiest window is the row of this index; None where this failed."""
        if row in self._failed:
            return None
        values = self._values.get(row)
        if values is None:
            return NONE
        try:
            return self._highlighter.find(text, window, values)
        except Exception as error:  # noqa: BLE001 - as above
            _warn(error)
            return None


def _warn(error: Exception) -> None:
    # Leave out the error's own message, which could quote the text.
    log.warning("highlights_failed", kind=type(error).__name__)
