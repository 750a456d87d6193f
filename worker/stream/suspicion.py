"""The note that a worker leaves on the records in the model's hands, and what its successor concludes.

    held        what the model has now; another worker that finds it concludes that the note's writer has died
    suspects    ranges that were in hand when a worker died; after DEATHS_TOGETHER deaths, their messages are
                read one at a time
    accused     messages that were alone in hand when a worker died; after DEATHS_ALONE deaths, they become
                dead letters

A crash cannot be told from a `kill -9`, so one death proves nothing. A death by chance costs no message its
label, only some speed. An innocent message becomes a dead letter only if two processes are killed by
something else while the model reads that message and no other.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from worker.kafka.record import Record

DEATHS_TOGETHER: Final = 2
DEATHS_ALONE: Final = 2
DETAIL: Final = (
    f"the worker ended {DEATHS_ALONE} times while the model read this message alone: a crash, its memory, or "
    "a device that did not answer"
)
_KEPT: Final = 32  # how many suspects, and how many accused, a note keeps: the newest


class Held(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The offsets in the model's hands, first to last. `alone`: one message, and none of other partitions.

    `timestamp_ms` is the timestamp of a message that is alone. It helps to recognise the message, since
    offsets begin again where a topic is deleted and made again.
    """

    first: int
    last: int
    alone: bool = False
    timestamp_ms: int = 0


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """A range of offsets that were in hand together at `deaths` deaths."""

    first: int
    last: int
    deaths: int


class Accused(msgspec.Struct, frozen=True, gc=False):
    """A message that was alone in hand at `deaths` deaths."""

    offset: int
    timestamp_ms: int
    deaths: int


class Note(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The note on one partition, written by the process `writer`. It holds no text and no message id."""

    writer: str = ""
    held: Held | None = None
    suspects: tuple[Suspect, ...] = ()
    accused: tuple[Accused, ...] = ()

    def inherited(self) -> "Note":
        """The note as its successor must see it: the writer has died with `held` in hand."""
        if (held := self.held) is None:
            return self
        if held.alone:
            return replace(self, held=None, accused=self._accusing(held))
        near = [one for one in self.suspects if one.first <= held.last and held.first <= one.last]
        far = tuple(one for one in self.suspects if one not in near)
        deaths = 1 + max((one.deaths for one in near), default=0)
        suspect = Suspect(held.first, held.last, deaths)
        return replace(self, held=None, suspects=(*far, suspect)[-_KEPT:])

    def is_suspect(self, record: Record) -> bool:
        """Whether the record must be read alone."""
        at = record.offset
        together = (one for one in self.suspects if one.deaths >= DEATHS_TOGETHER)
        return self._deaths_alone(record) > 0 or any(one.first <= at <= one.last for one in together)

    def is_condemned(self, record: Record) -> bool:
        """Whether the record must not be read again."""
        return self._deaths_alone(record) >= DEATHS_ALONE

    def _accusing(self, held: Held) -> tuple[Accused, ...]:
        others = tuple(one for one in self.accused if one.offset != held.first)
        before = next((one for one in self.accused if _is_same(one, held.first, held.timestamp_ms)), None)
        deaths = 1 + (before.deaths if before else 0)
        return (*others, Accused(held.first, held.timestamp_ms, deaths))[-_KEPT:]

    def _deaths_alone(self, record: Record) -> int:
        for one in self.accused:
            if _is_same(one, record.offset, record.timestamp_ms):
                return one.deaths
        return 0


def _is_same(accused: Accused, offset: int, timestamp_ms: int) -> bool:
    return accused.offset == offset and accused.timestamp_ms == timestamp_ms
