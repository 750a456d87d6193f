"""What a worker leaves behind about the records in the model's hands, and what its successor makes of it.

    held        what the model has now. Found by another worker, it means: whoever held it has died.
    suspects    ranges that were in hand when a worker died: after DEATHS_TOGETHER read one message at a time
    accused     messages that were alone in hand when a worker died: after DEATHS_ALONE dead letters

Nothing tells a crash from a `kill -9`, so one death proves nothing: one that strikes by chance costs nobody
their label, only some speed. For an innocent message to become a dead letter, two processes must be killed by
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
_KEPT: Final = 32  # suspects, and accused, of a partition: the newest


class Held(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Offsets, first to last, in the model's hands; `alone`: one message and nothing of other partitions.

    `timestamp_ms` is the record's of one that is alone: offsets begin again where a topic is made anew.
    """

    first: int
    last: int
    alone: bool = False
    timestamp_ms: int = 0


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """A range of offsets that was in hand, together, at so many deaths."""

    first: int
    last: int
    deaths: int


class Accused(msgspec.Struct, frozen=True, gc=False):
    """A message that was alone in hand at so many deaths."""

    offset: int
    timestamp_ms: int
    deaths: int


class Note(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """All of it, of one partition. `writer` is the process that wrote it. Never text, never an id."""

    writer: str = ""
    held: Held | None = None
    suspects: tuple[Suspect, ...] = ()
    accused: tuple[Accused, ...] = ()

    def inherited(self) -> "Note":
        """What a successor goes by: whoever wrote this has died with `held` in hand."""
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
