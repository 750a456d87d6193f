"""Writes a note of what the model has in hand before each call, where the next worker finds it.

A message can crash the process, or make the model's call hang, and the process itself can report neither. So
a note is written to Kafka, and acknowledged, before the model gets any message. It is withdrawn when the call
ends, with or without an error. Its key is group, topic and partition, so that whichever worker is assigned
the partition finds it. `suspicion.py` says what the note means to that worker.

No note is written where the model has nothing to read. Notes decide nothing about delivery: one that is lost
or stale costs one more death of a worker, or some speed.
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
    """The notes of one worker. The intake's thread reads them, the screener's thread writes them."""

    def __init__(self, topic: InHandTopic, metrics: Metrics) -> None:
        self._topic = topic
        self._metrics = metrics
        self._me = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._known: dict[Partition, Note] = {}  # of each assigned partition
        self._troubled: dict[Partition, Note] = {}  # those of them that suspect or accuse a record

    def inherit(self, partitions: Sequence[Partition]) -> None:
        """Read the notes that the last owners left on `partitions`, which this worker was just assigned.

        Where Kafka does not answer in time, the notes count as empty, and that is logged.
        Raises FatalError: see InHandTopic.
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
        """Forget the notes on partitions that are no longer assigned."""
        with self._lock:
            for place in partitions:
                self._known.pop(place, None)
                self._troubled.pop(place, None)

    def is_suspect(self, record: Record) -> bool:
        """Whether the model must read the record alone."""
        note = self._troubled.get(record.place) if self._troubled else None
        return note is not None and note.is_suspect(record)

    def is_condemned(self, record: Record) -> bool:
        """Whether the model must not read the record again."""
        note = self._troubled.get(record.place) if self._troubled else None
        return note is not None and note.is_condemned(record)

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[None]:
        """Keep a note on the batch in Kafka during a block. Raises BrokerError: Kafka takes no note."""
        held = held_of(batch)
        if not held:
            yield
            return
        self._write(held)
        self._topic.settle()
        try:
            yield
        finally:  # after an error too: the process has survived it, so that it is no death
            self._write(dict.fromkeys(held))

    def close(self) -> None:
        """Wait a moment for the last notes to reach Kafka."""
        self._topic.close()

    def _write(self, held: dict[Partition, Held] | dict[Partition, None]) -> None:
        """Write notes on the partitions that are still assigned: the others belong to another worker."""
        with self._lock:
            notes = {
                place: msgspec.json.encode(replace(self._known[place], held=what))
                for place, what in held.items()
                if place in self._known
            }
            self._topic.write(notes)


def held_of(batch: Batch) -> dict[Partition, Held]:
    """Per partition, the range of a batch's records that the model may have to read."""
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
    except msgspec.DecodeError:  # written by another version, or by another program
        log.warning("in_hand_note_unreadable")
        return _EMPTY


def _told(held: Held) -> dict[str, object]:
    return {"first": held.first, "last": held.last, "alone": held.alone}
