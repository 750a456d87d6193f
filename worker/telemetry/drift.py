"""The last messages against those that the bundle was made for, as a window that slides batch by batch."""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from engine.drift import FEWEST, Batched, Expected, Noted, SignalName, joined, psi
from schemas.events import Label

_Counts = dict[SignalName, NDArray[np.int64]]


class DriftWindow:
    """Keeps the counts of the last messages, and of the newest few hundred their numbers. Thread-safe."""

    def __init__(self, expected: Expected, size: int) -> None:
        """The window holds the last `size` messages, or up to as many more as were counted together."""
        self._expected = expected.signals
        self._size = size
        self._lock = threading.Lock()
        self._batches: list[Batched] = []  # not counted yet
        self._uncounted = 0
        self._lots: deque[tuple[int, _Counts]] = deque()  # the counts of messages that were counted together
        self._messages = 0
        # Kept up to date lot by lot: there may be as many lots as messages.
        self._totals = {
            name: np.zeros(len(binned.counts), np.int64) for name, binned in expected.signals.items()
        }

    @property
    def signals(self) -> Sequence[SignalName]:
        """What can be compared."""
        return list(self._expected)

    def add(self, batch: Batched) -> bool:
        """Add a batch. Whether it made the window large enough to be compared."""
        with self._lock:
            before = self._messages + self._uncounted
            self._batches.append(batch)
            self._uncounted += batch.messages
            if self._uncounted >= FEWEST:
                self._count()
            return before < FEWEST <= self._messages + self._uncounted

    def psi(self, signal: SignalName) -> float:
        """How far a signal has moved. It is worked out when somebody asks, not with every batch."""
        with self._lock:
            self._count()
            now = self._totals[signal].tolist()
        return psi(self._expected[signal].counts, now)

    def _count(self) -> None:
        """Count what has come since the last time, all at once: small batches one by one cost more."""
        batches, self._batches, messages, self._uncounted = self._batches, [], self._uncounted, 0
        if not batches:
            return
        lot = joined(batches)
        counts = {name: lot.in_bins(name, binned.edges) for name, binned in self._expected.items()}
        self._lots.append((messages, counts))
        self._messages += messages
        for name, found in counts.items():
            self._totals[name] += found
        while self._messages - self._lots[0][0] >= self._size:
            gone, counts = self._lots.popleft()
            self._messages -= gone
            for name, found in counts.items():
                self._totals[name] -= found


def batch_of(labels: Sequence[Label], characters: Sequence[int]) -> Batched:
    """What is noted of the messages of labels, whose texts are so long: `noted_of` for a whole batch."""
    # Most labels have one reason, which says how the risk stands to the thresholds. Doubts come after it.
    doubts = Counter(chain.from_iterable(label.reasons for label in labels if len(label.reasons) > 1))
    return Batched(
        len(labels),
        {
            "risk": np.array([label.risk for label in labels], np.float64),
            "windows": np.array([label.windows for label in labels], np.float64),
            "characters": np.array(characters, np.float64),
        },
        {
            "truncated": sum(label.truncated for label in labels),
            "unsupported_language": doubts["unsupported_language"],
            "obfuscated": doubts["obfuscated"],
        },
    )


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
