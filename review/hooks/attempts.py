"""When a notice is tried, tried again, and given up. Pure: times are given, in Unix seconds."""

import heapq
from collections.abc import Iterator
from typing import Final

import msgspec

from review.hooks.notice import Notice

# Waits after the first failures, as Standard Webhooks proposes; the last one repeats.
WAITS: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0)
_LONGEST_PAUSE: Final = 60.0


class Pending(msgspec.Struct):
    """A notice that is not told yet. `first` is when it was tried for the first time."""

    notice: Notice
    failures: int = 0
    first: float | None = None


class Attempts:
    """The notices that wait, earliest first.

    A receiver that is down is spared: after a failure nothing is sent for a moment, twice as long after each
    further one, up to a minute. A notice is given up when it has failed for `give_up_s`, and after each wait.
    """

    def __init__(self, give_up_s: float) -> None:
        self._give_up = give_up_s
        self._heap: list[tuple[float, int, str]] = []
        self._pending: dict[str, Pending] = {}
        self._number = 0
        self._in_a_row = 0
        self._paused_until = float("-inf")

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, notice: Notice, now: float) -> None:
        """Have a notice told. One that waits already changes nothing."""
        if notice.id not in self._pending:
            self._pending[notice.id] = Pending(notice)
            self._push(now, notice.id)

    def forget(self, notice_id: str) -> None:
        """Do not tell it any more."""
        self._pending.pop(notice_id, None)

    def due(self, now: float) -> Iterator[Pending]:
        """Yield what is to be tried now. Answer each by `told`, `failed` or `put_back`."""
        while now >= self._paused_until and self._heap and self._heap[0][0] <= now:
            _, _, notice_id = heapq.heappop(self._heap)
            if (pending := self._pending.get(notice_id)) is not None:
                pending.first = now if pending.first is None else pending.first
                yield pending

    def told(self, pending: Pending) -> None:
        """It was taken."""
        self._in_a_row = 0
        self._paused_until = float("-inf")
        self.forget(pending.notice.id)

    def failed(self, pending: Pending, now: float, retry_after: float = 0.0) -> bool:
        """It was not. Returns whether to give it up: note that, and `forget` it.

        `retry_after` is what the receiver asked for, in seconds.
        """
        pending.failures += 1
        self._in_a_row += 1
        pause = max(min(2.0 ** (self._in_a_row - 1), _LONGEST_PAUSE), min(retry_after, _LONGEST_PAUSE))
        self._paused_until = max(self._paused_until, now + pause)
        started = now if pending.first is None else pending.first
        if pending.failures > len(WAITS) and now - started >= self._give_up:
            return True
        wait = WAITS[min(pending.failures, len(WAITS)) - 1]
        # A receiver may ask for time, and not for ever: the notice must be told or given up.
        wanted = min(max(wait, retry_after), self._give_up)
        self._push(now + wanted, pending.notice.id)
        return False

    def put_back(self, pending: Pending, now: float) -> None:
        """What became of it could not be noted: try it again soon."""
        self._push(now + WAITS[0], pending.notice.id)

    def _push(self, at: float, notice_id: str) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, notice_id))
