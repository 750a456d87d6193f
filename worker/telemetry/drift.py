"""The last messages against those that the bundle was made for, as a window that slides batch by batch."""

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.drift import FEWEST, Expected, Noted, SignalName, Signals, in_bins, psi
from schemas.events import Label

_Counts = dict[SignalName, NDArray[np.int64]]


class DriftWindow:
    """Keeps the counts of the last batches, and of no message by itself. Thread-safe."""

    def __init__(self, expected: Expected, size: int) -> None:
        """The window holds the last `size` messages, or a few more: whole batches."""
        self._expected = expected.signals
        self._size = size
        self._lock = threading.Lock()
        self._batches: deque[tuple[int, _Counts]] = deque()
        self._messages = 0
        # Kept up to date batch by batch: there may be as many batches as messages.
        self._totals = {
            name: np.zeros(len(binned.counts), np.int64) for name, binned in expected.signals.items()
        }

    @property
    def signals(self) -> Sequence[SignalName]:
        """What can be compared."""
        return list(self._expected)

    def add(self, messages: int, signals: Signals) -> bool:
        """Add a batch of so many messages. Whether it made the window large enough to be compared."""
        counts = {name: in_bins(signals[name], binned.edges) for name, binned in self._expected.items()}
        with self._lock:
            before = self._messages
            self._batches.append((messages, counts))
            self._messages += messages
            for name, found in counts.items():
                self._totals[name] += found
            while self._messages - self._batches[0][0] >= self._size:
                gone, counts = self._batches.popleft()
                self._messages -= gone
                for name, found in counts.items():
                    self._totals[name] -= found
        return before < FEWEST <= self._messages

    def psi(self, signal: SignalName) -> float:
        """How far a signal has moved. It is worked out when somebody asks, not with every batch."""
        with self._lock:
            now = self._totals[signal].tolist()
        return psi(self._expected[signal].counts, now)


def signals_of(labels: Sequence[Label], characters: Sequence[int]) -> Signals:
    """What is noted of the messages of labels, whose texts are so long: `noted_of` for a whole batch."""
    return {
        "risk": np.array([label.risk for label in labels], np.float64),
        "windows": [label.windows for label in labels],
        "characters": np.array(characters, np.float64),
        "truncated": [label.truncated for label in labels],
        "unsupported_language": ["unsupported_language" in label.reasons for label in labels],
        "obfuscated": ["obfuscated" in label.reasons for label in labels],
    }


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
