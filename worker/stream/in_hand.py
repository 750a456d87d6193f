"""What the model has in hand, written down where the next worker finds it, before each call.

A message can take the process with it, or never come back: nothing in this process can say so afterwards. So
a note stands in Kafka, acknowledged, before the model gets anything, and is taken back when the call ends,
however it ends. Its key is group, topic and partition: whoever is given the partition finds it. What it means
to them is in `suspicion.py`.

Nothing is written where nothing is to be read, and nothing is decided here about delivery: a note that is
lost or stale costs a death more, or some speed.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import structlog
from msgspec.structs import replace

from worker.errors import RetryableError
from worker.kafka import InHandTopic
from worker.kafka.record import Partition, Record
from worker.stream.batch import Batch
from worker.stream.suspicion import Held, Note
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

_EMPTY = Note()


class InHand:
    """The notes of one worker. The intake's thread inherits and asks, the screener's holds."""

    def __init__(self, topic: InHandTopic, metrics: Metrics) -> None:
        self._topic = topic
        self._metrics = metrics
        self._me = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._known: dict[Partition, Note] = {}  # of each partition that is ours
        self._troubled: dict[Partition, Note] = {}  # those of them that speak against some record

    def inherit(self, partitions: Sequence[Partition]) -> None:
        """Read what the last owners left behind of `partitions`, which are ours from now on.

        Where Kafka does not answer in time nothing is known, and that is logged. FatalError: see InHandTopic.
        """
        try:
            found = self._topic.read(partitions)
        except RetryableError as error:
            log.warning("in_hand_unknown", error=str(error), partitions=len(partitions))
            found = {}
        for place in partitions:
            note = _decoded(found.get(place))
            if note.held is not None and note.writer != self._me:
                self._metrics.count("mimamori_deaths_in_hand_total")
                log.warning("died_in_hand", topic=place[0], partition=place[1], **_told(note.held))
                note = note.inherited()
            note = replace(note, writer=self._me, held=None)
            with self._lock:
                self._known[place] = note
                if note.suspects or note.accused:
                    self._troubled[place] = note
                else:
                    self._troubled.pop(place, None)

    def forget(self, partitions: Sequence[Partition]) -> None:
        """They are no longer ours, and neither are their notes."""
        with self._lock:
            for place in partitions:
                self._known.pop(place, None)
                self._troubled.pop(place, None)

    def is_suspect(self, record: Record) -> bool:
        """Whether the model must read it alone."""
        note = self._troubled.get(record.place) if self._troubled else None
        return note is not None and note.is_suspect(record)

    def is_condemned(self, record: Record) -> bool:
        """Whether the model must not read it again."""
        note = self._troubled.get(record.place) if self._troubled else None
        return note is not None and note.is_condemned(record)

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[None]:
        """Have the batch written down for the length of a block. BrokerError: Kafka takes no note."""
        held = held_of(batch)
        if not held:
            yield
            return
        self._write(held)
        self._topic.settle()
        try:
            yield
        finally:  # an error that this process lives to tell is no death
            self._write(dict.fromkeys(held))

    def close(self) -> None:
        """Let the last notes reach Kafka, for a moment."""
        self._topic.close()

    def _write(self, held: dict[Partition, Held] | dict[Partition, None]) -> None:
        """Write notes of the partitions that are still ours: the others have an owner of their own."""
        with self._lock:
            notes = {
                place: msgspec.json.encode(replace(self._known[place], held=what))
                for place, what in held.items()
                if place in self._known
            }
            self._topic.write(notes)


def held_of(batch: Batch) -> dict[Partition, Held]:
    """Per partition, what of a batch the model may get."""
    records = [entry.record for entry in batch.entries if entry.may_be_read]
    if len(records) == 1:
        (one,) = records
        return {one.place: Held(one.offset, one.offset, alone=True, timestamp_ms=one.timestamp_ms)}
    held: dict[Partition, Held] = {}
    for record in records:
        before = held.get(record.place)
        held[record.place] = Held(before.first if before else record.offset, record.offset)
    return held


def _decoded(value: bytes | None) -> Note:
    if value is None:
        return _EMPTY
    try:
        return msgspec.json.decode(value, type=Note)
    except msgspec.DecodeError:  # another version's, or not ours at all
        log.warning("in_hand_note_unreadable")
        return _EMPTY


def _told(held: Held) -> dict[str, object]:
    return {"first": held.first, "last": held.last, "alone": held.alone}
