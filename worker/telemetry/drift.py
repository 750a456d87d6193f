"""The last messages against those that the bundle was made for, as a window that slides batch by batch."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from engine.drift import FEWEST, Binned, Expected, Moved, Noted, SignalName, compare, count
from schemas.events import Label

_Counts = dict[SignalName, Binned]


class DriftWindow:
    """Keeps the counts of the last batches, and of no message by itself."""

    def __init__(self, expected: Expected, size: int) -> None:
        """The window holds the last `size` messages, or a few more: whole batches."""
        self._expected = expected
        self._edges = {name: binned.edges for name, binned in expected.signals.items()}
        self._size = size
        self._batches: deque[tuple[int, _Counts]] = deque()
        self._messages = 0
        # Kept up to date batch by batch: there may be as many batches as messages.
        self._totals = {name: np.zeros(len(edges) + 1, np.int64) for name, edges in self._edges.items()}

    def add(self, noted: Sequence[Noted]) -> list[Moved]:
        """Add a batch, and compare; nothing where the window holds too few messages for that."""
        self._take(len(noted), count(noted, self._edges), 1)
        while self._messages - self._batches[0][0] >= self._size:
            self._take(*self._batches.popleft(), -1)
        if self._messages < FEWEST:
            return []
        now = {
            name: Binned(self._edges[name], tuple(total.tolist()))
            for name, total in self._totals.items()
            if total.any()
        }
        return compare(self._expected.signals, now)

    def _take(self, messages: int, counts: _Counts, sign: int) -> None:
        if sign > 0:
            self._batches.append((messages, counts))
        self._messages += sign * messages
        for name, binned in counts.items():
            self._totals[name] += sign * np.array(binned.counts)


def noted_of(label: Label, characters: int | None = None) -> Noted:
    """What is noted of the message of a label; `characters` is its length, where that is known."""
    reasons = label.reasons
    return Noted(
        label.risk,
        label.windows,
        label.truncated,
        "unsupported_language" in reasons,
        "obfuscated" in reasons,
        characters,
    )
