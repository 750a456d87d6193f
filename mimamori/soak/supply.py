"""How far the feed may go ahead of the outcomes. Pure: the caller says what time it is.

Faults must strike a busy stream. Where many come at once, the feed goes far ahead, and never past the next
one. Where each is measured by itself, messages come steadily from a fault until the stream has recovered from
it: a partition that has none would not be seen to stand still.
"""

from collections.abc import Sequence
from typing import Final

AHEAD: Final = 60_000  # messages sent that have no outcome yet, over all partitions
RECOVERY_S: Final = 30.0  # the messages are made to last for so long a recovery from each fault
SLACK: Final = 50  # messages of each partition past the next fault


class Supply:
    """Says where each partition's messages may be sent to."""

    def __init__(self, partitions: int, rate: float | None = None) -> None:
        """`rate` is that of each partition while the stream recovers; None: faults come as they come."""
        self._partitions = partitions
        self._rate = rate
        self._from: tuple[float, list[int]] | None = None  # since when it recovers, and what was sent then

    def reach(
        self, now: float, seen: Sequence[int], sent: Sequence[int], next_at: float, *, recovering: bool
    ) -> list[float]:
        """The sequence before which each partition's messages may be sent.

        `seen` and `sent` count each partition's outcomes and messages; the next fault is due at `next_at`
        outcomes in all.
        """
        due = next_at / self._partitions
        if self._rate is None:
            return [min(outcomes, due) + AHEAD // self._partitions for outcomes in seen]
        if not recovering:
            self._from = None
            return [due + SLACK] * self._partitions
        since, start = self._from = self._from or (now, list(sent))
        return [before + SLACK + self._rate * (now - since) for before in start]


def steady_rate(records: int, faults: int, partitions: int) -> float:
    """The rate of each partition at which the records last for every fault's recovery."""
    return records / partitions / (RECOVERY_S * max(1, faults))
