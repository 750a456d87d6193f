"""The unit that travels through the three stations, and what it is made of.

    intake  fills `entries` (a message or a rejection, perhaps cached scores)
    screener  gives every message its scores, or a rejection where the model fails on it
    outbox  turns each entry into exactly one outcome, and commits `offsets` with them

Entries stand in the order they were consumed, which per partition is offset order. No station invents
an offset, drops an entry or adds one.

`gc=False`: none of these is ever part of a cycle, and the garbage collector need not walk thousands a batch.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.scores import Scores
from schemas.events import Message
from worker.errors import RecordError
from worker.kafka.record import Offsets, Record

BYTES_PER_TOKEN: Final = 4  # of UTF-8. No measurement: the engine counts exactly when it packs rows


class Entry(msgspec.Struct, gc=False):
    """A record on its way to its outcome: exactly one of `message` and `rejection` is set."""

    record: Record
    message: Message | None = None
    rejection: RecordError | None = None
    scores: Scores | None = None
    cached: bool = False
    cut: bool = False

    @property
    def reading(self) -> Scores | None:
        """The scores as the policy must see them: of a text that was cut, some was not read."""
        if self.cut and self.scores is not None:
            return msgspec.structs.replace(self.scores, truncated=True)
        return self.scores

    @property
    def may_be_read(self) -> bool:
        """Whether the model may get it: it has no scores yet, or none of its severity."""
        return self.message is not None and (self.scores is None or self.scores.severity is None)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, from its size alone: what batches are bounded by. At least 1."""
    return 1 + len(text.encode()) // BYTES_PER_TOKEN


@dataclass(slots=True)
class Batch:
    """Entries in consumption order. `epoch` is the assignment they were read under."""

    epoch: int
    opened_at: float  # monotonic seconds
    entries: list[Entry] = field(default_factory=list)
    estimated_tokens: int = 0  # still to read, see `estimate_tokens`; cached and rejected entries cost none
    to_read: int = 0  # entries that the model may get
    alone: bool = False  # one of them has to be read alone

    def takes(self, entry: Entry, *, alone: bool) -> bool:
        """Whether `entry` may join: what is read `alone` shares the model with nothing."""
        return not (self.to_read and entry.may_be_read and (alone or self.alone))

    def add(self, entry: Entry, *, alone: bool = False) -> None:
        """Let `entry` join."""
        self.entries.append(entry)
        self.to_read += entry.may_be_read
        self.alone = self.alone or alone

    @property
    def offsets(self) -> Offsets:
        """Per partition, the offset after the last entry: what a commit of this batch means."""
        records = [entry.record for entry in self.entries]
        return {(record.topic, record.partition): record.offset + 1 for record in records}
