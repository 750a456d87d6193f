"""Which batches may still commit: the one place where a rebalance and the stations meet.

Every batch is opened under an epoch. When partitions are taken away before their batches are committed,
or a transaction is aborted, the epoch ends: batches of an ended epoch are dropped wherever they are. The
intake opens batches under the epoch it last rewound for, never under a newer one: so nothing read past a
hole can commit before the consumer has gone back to what was committed.

The broker guards the other side: an outbox that has passed `is_current` but reaches the broker only after
the rebalance carries the membership of the generation before, and is refused (KIP-447).
"""

import threading


class Epochs:
    """Which epoch may commit, and what is in flight of any. It holds no partitions. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._epoch = 0
        self._in_flight = 0
        self._estimated_tokens = 0
        self._setbacks = 0

    @property
    def in_flight(self) -> int:
        """Batches opened and neither committed nor dropped, of any epoch."""
        with self._changed:
            return self._in_flight

    @property
    def estimated_tokens(self) -> int:
        """Tokens to read of the batches in flight, as estimated."""
        with self._changed:
            return self._estimated_tokens

    @property
    def epoch(self) -> int:
        """The epoch whose batches may commit."""
        with self._changed:
            return self._epoch

    @property
    def setbacks(self) -> int:
        """Epochs that ended since a batch was last committed: how patient the next attempt should be."""
        with self._changed:
            return self._setbacks

    def open(self) -> None:
        """Count a new batch in."""
        with self._changed:
            self._in_flight += 1

    def add(self, estimated_tokens: int) -> None:
        """Count in what an open batch has taken in."""
        with self._changed:
            self._estimated_tokens += estimated_tokens

    def close(self, estimated_tokens: int = 0) -> None:
        """Count a batch out, committed or dropped, with the tokens that were counted in for it."""
        with self._changed:
            self._in_flight -= 1
            self._estimated_tokens -= estimated_tokens
            self._changed.notify_all()

    def is_current(self, epoch: int) -> bool:
        """Whether a batch of `epoch` may still commit."""
        with self._changed:
            return epoch == self._epoch

    def end_epoch(self) -> None:
        """Void every batch in flight. What the intake opens stays void until it has rewound."""
        with self._changed:
            self._epoch += 1
            self._setbacks += 1
            self._changed.notify_all()

    def committed(self) -> None:
        """Note that a batch was committed: whatever went wrong before is over."""
        with self._changed:
            self._setbacks = 0

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no batch is in flight. False: the time ran out, or the epoch ended, first."""
        with self._changed:
            epoch = self._epoch
            self._changed.wait_for(lambda: self._in_flight == 0 or self._epoch != epoch, timeout_s)
            return self._in_flight == 0

    def wait_for_room(self, batches: int, tokens: float, more: int, timeout_s: float) -> bool:
        """Wait until fewer than `batches` are in flight and `more` tokens fit below `tokens`.

        What is too large to ever fit may come alone. False: the time ran out first.
        """

        def has_room() -> bool:
            return self._in_flight < batches and (
                self._estimated_tokens + more <= tokens or not self._estimated_tokens
            )

        with self._changed:
            return self._changed.wait_for(has_room, timeout_s)
