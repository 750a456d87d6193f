"""Decides which batches may still commit. This is the one place where rebalances and the stations meet.

Every batch is opened under an epoch. The epoch ends when partitions are taken away before their batches are
committed, or when a transaction is aborted. Batches of an ended epoch are dropped, at whichever station they
are. The intake opens batches under the epoch for which it last rewound, never under a newer one. So no record
that comes after dropped ones can be committed before the consumer has gone back to the committed offsets.

A commit that has begun may end after its epoch did. For partitions that this worker has lost, the broker
refuses it, as it comes under the membership of the previous generation (KIP-447). For those that it keeps,
Kafka 4.3 takes it with the protocol `consumer` (KIP-1251). So the intake waits for the end of a commit that
has begun before it asks for the committed offsets: it would read again what is committed a moment later.
With that protocol it also waits before it gives partitions up, since the member's epoch may stay what it is.
"""

import threading


class Epochs:
    """The epoch that may commit, and how much is in flight. It knows no partitions. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._epoch = 0
        self._in_flight = 0
        self._estimated_tokens = 0
        self._setbacks = 0
        self._committing = False

    @property
    def committing(self) -> bool:
        """Whether a commit has begun and not ended, of whichever epoch."""
        with self._changed:
            return self._committing

    @property
    def in_flight(self) -> int:
        """Batches of any epoch that were opened, and are neither committed nor dropped."""
        with self._changed:
            return self._in_flight

    @property
    def estimated_tokens(self) -> int:
        """The estimated number of tokens to read in the batches in flight."""
        with self._changed:
            return self._estimated_tokens

    @property
    def epoch(self) -> int:
        """The epoch whose batches may commit."""
        with self._changed:
            return self._epoch

    @property
    def setbacks(self) -> int:
        """Epochs that ended since the last commit. The more there are, the longer the next wait."""
        with self._changed:
            return self._setbacks

    def open(self) -> None:
        """Count a new batch as in flight."""
        with self._changed:
            self._in_flight += 1

    def add(self, estimated_tokens: int) -> None:
        """Count the tokens that were added to an open batch."""
        with self._changed:
            self._estimated_tokens += estimated_tokens

    def close(self, estimated_tokens: int = 0) -> None:
        """Stop counting a committed or dropped batch, and the tokens that were counted for it."""
        with self._changed:
            self._in_flight -= 1
            self._estimated_tokens -= estimated_tokens
            self._changed.notify_all()

    def is_current(self, epoch: int) -> bool:
        """Whether a batch of `epoch` may still commit."""
        with self._changed:
            return epoch == self._epoch

    def begin_commit(self, epoch: int) -> bool:
        """Whether a batch of `epoch` may commit; from then on, until `end_commit`, it is `committing`."""
        with self._changed:
            self._committing = epoch == self._epoch
            return self._committing

    def end_commit(self) -> None:
        """The commit that has begun has ended, one way or the other."""
        with self._changed:
            self._committing = False
            self._changed.notify_all()

    def end_epoch(self) -> None:
        """Void every batch in flight. Batches that the intake opens are void too until it has rewound."""
        with self._changed:
            self._epoch += 1
            self._setbacks += 1
            self._changed.notify_all()

    def committed(self) -> None:
        """Note that a batch was committed, so that earlier setbacks no longer count."""
        with self._changed:
            self._setbacks = 0

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no batch is in flight. Returns False if the time ran out, or the epoch ended, first."""
        with self._changed:
            epoch = self._epoch
            self._changed.wait_for(lambda: self._in_flight == 0 or self._epoch != epoch, timeout_s)
            return self._in_flight == 0

    def wait_settled(self, timeout_s: float) -> bool:
        """Wait until no commit has begun and not ended. Returns False if the time ran out first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._committing, timeout_s)

    def wait_for_room(self, batches: int, tokens: float, more: int, timeout_s: float) -> bool:
        """Wait until fewer than `batches` are in flight and `more` tokens fit below `tokens`.

        Where no tokens are in flight, any number fits, or a very large message would wait for ever.
        Returns False if the time ran out first.
        """

        def has_room() -> bool:
            return self._in_flight < batches and (
                self._estimated_tokens + more <= tokens or not self._estimated_tokens
            )

        with self._changed:
            return self._changed.wait_for(has_room, timeout_s)
