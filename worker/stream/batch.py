"""The batch that passes through the three stations, and the entries that it holds.

    intake    fills `entries` (a message or a rejection, perhaps with cached scores)
    screener  gives every message its scores, or a rejection where the model fails on it
    outbox    turns each entry into exactly one outcome, and commits `offsets` with the outcomes

Entries keep the order in which they were consumed, which is offset order within a partition. No station
invents an offset, drops an entry or adds one.

`gc=False`: entries are never part of a cycle, so that the garbage collector can skip thousands per batch.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.scores import Scores
from schemas.events import Message
from schemas.headers import Cause, names_a_trace
from worker.errors import RecordError
from worker.kafka.record import Offsets, Record
from worker.stream.pipeline import Pipeline

BYTES_PER_TOKEN: Final = 4  # of UTF-8; an assumption, since the engine counts exactly when it packs rows


class Entry(msgspec.Struct, gc=False):
    """A record on its way to its outcome: exactly one of `message` and `rejection` is set.

    Neither is where a shadow passes the record over (`shadow.py`). The outbox of a worker refuses such an
    entry. `pipeline` is what screens the message; None stands for that of the worker's default task. `unread`
    is the message of a rejected record that could be decoded, for the person who reads it instead.
    """

    record: Record
    message: Message | None = None
    rejection: RecordError | None = None
    scores: Scores | None = None
    cached: bool = False
    cut: bool = False
    cause: Cause = ()  # those that name the trace: its outcomes carry them on
    tokens: int = 0  # to read, see `estimate_tokens`; none where it is cached or rejected
    pipeline: Pipeline | None = None
    unread: Message | None = None

    @property
    def reading(self) -> Scores | None:
        """The scores for the policy, which are marked as truncated where the text was cut."""
        if self.cut and self.scores is not None:
            return msgspec.structs.replace(self.scores, truncated=True)
        return self.scores

    @property
    def lost_its_trace(self) -> bool:
        """Whether the record's headers cannot be read, or its `traceparent` is malformed."""
        headers = self.record.headers
        if not headers:  # there are none, or they cannot be read
            return headers is None
        return not self.cause and names_a_trace(headers)

    @property
    def may_be_read(self) -> bool:
        """Whether the model may have to read the message: it has no scores yet, or no severity."""
        return self.message is not None and (self.scores is None or self.scores.severity is None)


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens, at least 1, from its size alone. The limits on batches use this."""
    return 1 + len(text.encode()) // BYTES_PER_TOKEN


@dataclass(slots=True)
class Batch:
    """Entries in consumption order. `epoch` is the assignment under which they were read."""

    epoch: int
    opened_at: float  # monotonic seconds
    entries: list[Entry] = field(default_factory=list)
    estimated_tokens: int = 0  # to read: the sum of its entries'
    to_read: int = 0  # number of entries that the model may have to read
    alone: bool = False  # one of the entries must be read alone
    screened: tuple[float, float] | None = None  # monotonic seconds, from when to when

    def takes(self, entry: Entry, *, alone: bool) -> bool:
        """Whether `entry` may join. A message to read `alone` shares its batch with no other one to read."""
        return not (self.to_read and entry.may_be_read and (alone or self.alone))

    def add(self, entry: Entry, *, alone: bool = False) -> None:
        """Add `entry`."""
        self.entries.append(entry)
        self.to_read += entry.may_be_read
        self.alone = self.alone or alone

    @property
    def offsets(self) -> Offsets:
        """Per partition, the offset after the last entry, which a commit of this batch commits."""
        records = [entry.record for entry in self.entries]
        return {(record.topic, record.partition): record.offset + 1 for record in records}
