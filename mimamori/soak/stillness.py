"""How long a partition stood still because of a fault. Pure: the caller says what time it is."""

from collections.abc import Sequence


class Stillness:
    """Told again and again how far each partition is; measures one fault at a time.

    A partition stands still while messages wait in it and none gets an outcome that a reader can see.
    """

    def __init__(self, partitions: int, now: float) -> None:
        self._seen = [0] * partitions
        self._since = [now] * partitions
        self._struck: float | None = None
        self._over: float | None = None
        self._longest = 0.0

    def struck(self, now: float) -> None:
        """A fault has struck, which `settled` says the end of."""
        self._struck, self._over, self._longest = now, None, 0.0

    def note(self, now: float, seen: Sequence[int], sent: Sequence[int]) -> None:
        """Note how many messages of each partition have an outcome, and how many were sent."""
        for partition, (outcomes, messages) in enumerate(zip(seen, sent, strict=True)):
            if outcomes > self._seen[partition] or outcomes >= messages:
                if self._struck is not None:
                    stood = now - max(self._since[partition], self._struck)
                    self._longest = max(self._longest, stood)
                self._seen[partition] = outcomes
                self._since[partition] = now

    def longest_s(self, now: float) -> float:
        """How long the partition that has stood longest stands still now."""
        return now - min(self._since)

    def settled(self, now: float, *, over: bool) -> float | None:
        """The longest that one partition stood still, once the fault is over and all have moved since.

        None where no fault has struck, or it still counts.
        """
        if self._struck is None:
            return None
        if over and self._over is None:
            self._over = now
        if self._over is None or min(self._since) <= self._over:
            return None
        self._struck = None
        return self._longest
