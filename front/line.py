"""The waiting line: which calls are admitted, and whose texts the engine reads next, in which batch.

    admit ──► [call call call …] ──► take ──► Batch ──► settle
    refuses what would wait longer          the engine's thread
    than the deadline

Batches are the worker's own, and so are their limits (tokens to read, time to read them as measured). Two
rules are the front's, since whoever asks by HTTP waits for the answer before asking again:

- The callers of a batch come back together, and the larger the batch, the less each text costs. Where they
  are away for a small part (HOLD) of the time that their batch took, the next one waits for them. Where they
  are away for longer, since the device is fast, as much is left in the line as the engine reads meanwhile.
- A call that does not fit into a batch goes on at the end of the line. So a long list delays nobody.

Texts of similar length are read together within a batch (`engine/reading/packing.py`).
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from front.call import Call, Portion
from front.errors import BusyError, RefusedError
from worker.stream.batch import Batch, estimate_tokens
from worker.stream.pace import Pace

LONGEST_RETRY_S: Final = 30
# Tokens that a batch may always have: about what a run needs to be efficient. Without this, a slow or
# busy device would read ever smaller batches, and be slower for that.
LEAST_TOKENS: Final = 512
# The part of a batch's time for which the next one waits for the callers: what waiting in vain costs at most.
HOLD: Final = 0.02
MOST_LEFT: Final = 0.5  # of the calls that wait, to be read while others are away
RETURN_S: Final = 0.1  # who asks later than this after a batch has not come back, but is somebody else
_WEIGHT: Final = 0.3  # of the newest batch in how long callers are away
_EPOCH: Final = 0  # batches of a front are never voided


class Line:
    """Thread-safe: the event loop admits, one thread takes and settles."""

    def __init__(
        self,
        pace: Pace,
        *,
        deadline_s: float,
        batch_s: float,
        max_tokens: int,
        max_records: int,
        max_message_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty line.

        Args:
            pace: How fast the model reads.
            deadline_s: What would wait longer is refused.
            batch_s: A batch closes at what is read in this time, or at LEAST_TOKENS if that is more.
            max_tokens: A batch closes at this many tokens, too.
            max_records: And at this many texts.
            max_message_tokens: How much of a text is read at most.
            clock: Seconds that never go back.
        """
        self._pace = pace
        self._deadline_s = deadline_s
        self._batch_s = batch_s
        self._max_tokens = max_tokens
        self._max_records = max_records
        self._max_message_tokens = max_message_tokens
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Call] = deque()
        self._tokens = 0  # that wait
        self._in_hand = 0  # tokens that the engine reads now
        self._returning = 0  # callers that have just been answered, and may ask again
        self._away = 0.0  # the part of the time, reading and away, for which the callers of a batch are away
        self._taken_at = self._settled_at = clock()  # when a batch was last begun, and done
        self._closed = False

    @property
    def waiting_tokens(self) -> int:
        """Tokens that are to be read before a call that came now."""
        return self._tokens + self._in_hand

    def admit(self, call: Call) -> None:
        """Let `call` join the line.

        Raises BusyError: it would wait longer than the deadline, or the line is closed. RefusedError: it
        alone takes longer than that. But one text cannot be sent in parts: it is read where nothing waits.
        So is a list after a pause, as the model may be faster by now, and who is refused measures nothing.
        """
        call.tokens = [
            min(self._max_message_tokens, estimate_tokens(entry.message.text if entry.message else ""))
            for entry in call.entries
        ]
        own, call.unread = sum(call.tokens), len(call.entries)
        with self._changed:
            if self._closed:
                raise BusyError("this front is shutting down: ask again, another one will answer", 1)
            room = self._pace.tokens_in(self._deadline_s)
            ahead = self.waiting_tokens
            paused = self._clock() - self._settled_at > self._deadline_s
            divisible = len(call.entries) > 1 and (ahead or not paused)
            if own > room and divisible and self._pace.seconds_for(own) is not None:
                raise RefusedError(
                    413,
                    "too_large",
                    f"the texts have about {own} tokens, and this front reads about {room:.0f} within its "
                    f"deadline of {self._deadline_s:g} s: send fewer texts at once",
                )
            if ahead and ahead + own > room:
                raise BusyError("too much waits to be read: ask again later", self._retry_after(ahead + own))
            call.give_up_at = self._clock() + self._deadline_s
            self._waiting.append(call)
            self._tokens += own
            if self._returning:
                self._returning -= 1
                if not self._returning:
                    self._note_return()
            self._changed.notify()

    def take(self) -> Portion | None:
        """Wait for texts, and take a batch of them; None once the line is closed and empty."""
        with self._changed:
            while True:
                self._drop_late()
                left_s = self._hold_s() if self._waiting else None
                if left_s == 0:
                    break
                if left_s is None and self._closed:
                    return None
                self._changed.wait(left_s)
            portion = self._portion()
            self._taken_at = self._clock()
            self._in_hand = portion.batch.estimated_tokens
            return portion

    def settle(self, portion: Portion, error: Exception | None = None) -> None:
        """Note that the engine has answered a portion, or failed; finish the calls that are complete."""
        with self._changed:
            self._in_hand = 0
            self._settled_at = self._clock()
            complete = []
            for call, taken in portion.calls:
                call.unread -= taken
                if error is not None:
                    self._drop(call)
                if error is not None or not call.unread:
                    complete.append(call)
            self._returning = len(complete)
        for call in complete:
            call.finish(error)

    def give_up(self, call: Call) -> None:
        """The deadline of this call is over: it is refused, unless the engine has begun with it."""
        with self._changed:
            if call in self._waiting and not call.taken:
                self._refuse_late(call)

    def abandon(self, call: Call) -> None:
        """Nobody waits for this call any more: what is not in a batch yet is not read."""
        with self._changed:
            call.abandoned = True
            self._drop(call)

    def close(self) -> None:
        """Admit nothing more. What waits is still read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def refuse_all(self, error: Exception) -> None:
        """Close, and finish every call that waits with `error`."""
        with self._changed:
            self._closed = True
            refused = list(self._waiting)
            for call in refused:
                self._drop(call)
            self._changed.notify_all()
        for call in refused:
            call.finish(error)

    def _hold_s(self) -> float:
        """How much longer a batch is worth waiting for those who have just been answered: 0 if not at all."""
        full = self._tokens >= self._most_tokens()
        if self._closed or full or not self._returning or self._away > HOLD:
            return 0.0
        until = self._settled_at + HOLD * (self._settled_at - self._taken_at)
        return max(0.0, until - self._clock())

    def _note_return(self) -> None:
        """All callers of the last batch are back, or others have come in their place."""
        away, took = self._clock() - self._settled_at, self._settled_at - self._taken_at
        if away < RETURN_S and took > 0:
            self._away += _WEIGHT * (away / (away + took) - self._away)

    def _most_tokens(self) -> float:
        return min(self._max_tokens, max(LEAST_TOKENS, self._pace.tokens_in(self._batch_s)))

    def _portion(self) -> Portion:
        most_tokens = self._most_tokens()
        left = min(MOST_LEFT, self._away) if self._away > HOLD else 0.0
        most_calls = math.ceil(len(self._waiting) * (1 - left))
        portion = Portion(Batch(_EPOCH, self._clock()))
        batch = portion.batch
        unfinished = []
        while self._waiting and len(portion.calls) < most_calls:
            room = most_tokens - batch.estimated_tokens
            if batch.entries and (room <= 0 or len(batch.entries) >= self._max_records):
                break
            call = self._waiting.popleft()
            count = self._add(batch, call, room)
            portion.calls.append((call, count))
            if call.taken < len(call.entries):
                unfinished.append(call)
        self._waiting.extend(unfinished)
        return portion

    def _add(self, batch: Batch, call: Call, room: float) -> int:
        """Add entries of `call` while they fit, at least one. Returns how many."""
        count = 0
        while call.taken < len(call.entries):
            tokens = call.tokens[call.taken]
            if count and (tokens > room or len(batch.entries) >= self._max_records):
                break
            batch.add(call.entries[call.taken])
            batch.estimated_tokens += tokens
            self._tokens -= tokens
            room -= tokens
            call.taken += 1
            count += 1
        return count

    def _drop_late(self) -> None:
        """Refuse calls of which nothing was read within the deadline: an answer would come too late."""
        now = self._clock()
        late = [call for call in self._waiting if now > call.give_up_at and not call.taken]
        for call in late:
            self._refuse_late(call)

    def _refuse_late(self, call: Call) -> None:
        self._drop(call)
        retry = self._retry_after(self.waiting_tokens)
        call.finish(BusyError("the texts waited too long to be read: ask again", retry))

    def _drop(self, call: Call) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
            self._tokens -= call.left

    def _retry_after(self, tokens: int) -> int:
        """In how many whole seconds the line will be short enough."""
        needed = self._pace.seconds_for(tokens)
        over = 1.0 if needed is None else needed - self._deadline_s
        return min(LONGEST_RETRY_S, max(1, math.ceil(over)))
