"""The last messages against those that the bundle was made for, as a window that slides batch by batch."""

from collections import deque
from collections.abc import Sequence

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

    def add(self, noted: Sequence[Noted]) -> list[Moved]:
        """Add a batch, and compare; nothing where the window holds too few messages for that."""
        self._batches.append((len(noted), count(noted, self._edges)))
        self._messages += len(noted)
        while self._messages - self._batches[0][0] >= self._size:
            self._messages -= self._batches.popleft()[0]
        if self._messages < FEWEST:
            return []
        return compare(self._expected.signals, self._sum())

    def _sum(self) -> _Counts:
        total: _Counts = {}
        for name, edges in self._edges.items():
            found = [counts[name].counts for _, counts in self._batches if name in counts]
            if found:
                total[name] = Binned(edges, tuple(map(sum, zip(*found, strict=True))))
        return total


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
