"""Reads a range of a topic's offsets to its end: read-committed, without a group and committing nothing.

What was asked for and is not there any more is counted and told, never passed over in silence. The memory
that it takes does not depend on the length of the range.
"""

import time
from collections.abc import Iterator
from typing import Any, Final, Self

import confluent_kafka as ck
import msgspec

from worker.errors import BrokerError
from worker.kafka.client import check_may_read, log_error, make
from worker.kafka.fetched import consume, to_record
from worker.kafka.record import Record

TIMEOUT_S: Final = 10.0
_QUIET_S: Final = 30.0  # without a record, before it is given up
_AT_ONCE: Final = 500


class Asked(msgspec.Struct, frozen=True):
    """Which offsets of a topic to read. Where nothing is given, all that it has at this moment.

    `partitions` are all where none is named. `from_offset` is the first offset of each, and `to_offset` the
    one after the last. `last` is the number of offsets before that end, spread evenly over the partitions;
    `since_ms` leaves out records that are older by their timestamps.
    """

    topic: str
    partitions: tuple[int, ...] = ()
    from_offset: int | None = None
    to_offset: int | None = None
    last: int | None = None
    since_ms: int | None = None


class Span(msgspec.Struct, frozen=True):
    """The offsets `begin` to `end` (without it) of one partition.

    `deleted` of those that were asked for were there once; `unwritten` of them are not there yet.
    """

    partition: int
    begin: int
    end: int
    deleted: int = 0
    unwritten: int = 0


class SpanReader:
    """Reads what was asked for. A context manager, used by one thread.

    Raises BrokerError: Kafka is not there, or the topic or a partition is not.
    """

    def __init__(self, config: dict[str, Any], asked: Asked) -> None:
        self._topic, self._config = asked.topic, config
        self._consumer = make(
            ck.Consumer,
            {
                "group.id": "mimamori-reader",  # the client requires one; it neither joins nor commits
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "error_cb": log_error,
                **config,
                "isolation.level": "read_committed",
            },
        )
        try:
            partitions = self._partitions(asked)
            self.spans = [self._span(asked, number, len(partitions)) for number in partitions]
        except ck.KafkaException as error:
            self._consumer.close()
            raise BrokerError(f"cannot read {asked.topic}: {error.args[0].name()}; is Kafka up?") from None
        except BrokerError:
            self._consumer.close()
            raise
        self._next = {span.partition: span.begin for span in self.spans}
        self._end = {span.partition: span.end for span in self.spans}
        self.deleted = sum(span.deleted for span in self.spans)
        self.unwritten = sum(span.unwritten for span in self.spans)

    @property
    def total(self) -> int:
        """How many offsets are to be read. Transaction markers and what compaction took are among them."""
        return sum(span.end - span.begin for span in self.spans)

    @property
    def done(self) -> int:
        """How many of them are behind."""
        return sum(self._next[span.partition] - span.begin for span in self.spans)

    def records(self) -> Iterator[Record]:
        """Yield the committed records of the range, in offset order per partition. May be called once.

        Raises BrokerError: nothing comes any more, or this client may not read the topic.
        """
        self._assign({span.partition: span.begin for span in self.spans if span.begin < span.end})
        open_ = {span.partition for span in self.spans if span.begin < span.end}
        heard = time.monotonic()
        while open_:
            for message in consume(self._consumer, _AT_ONCE, 0.1):
                partition = message.partition()
                if partition is None or partition not in open_:
                    continue
                heard = time.monotonic()
                if (error := message.error()) is not None:
                    if error.code() == ck.KafkaError._PARTITION_EOF:
                        self._close(open_, partition)
                    elif error.code() == ck.KafkaError._AUTO_OFFSET_RESET:
                        self._go_on(open_, partition)
                    else:
                        check_may_read(error, self._topic, self._config)
                    continue
                record = to_record(message)
                if self._is_within(open_, record):
                    yield record
                    if self._next[partition] == self._end[partition]:
                        self._close(open_, partition)
            if time.monotonic() - heard > _QUIET_S:
                raise BrokerError(
                    f"{self._topic} was not read to its end: nothing came for {_QUIET_S:.0f} s; is Kafka up?"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def _partitions(self, asked: Asked) -> list[int]:
        metadata = self._consumer.list_topics(asked.topic, TIMEOUT_S).topics[asked.topic]
        if metadata.error is not None:
            raise BrokerError(f"topic {asked.topic} is not there: see `mimamori topics list`")
        if unknown := set(asked.partitions) - metadata.partitions.keys():
            named = ", ".join(map(str, sorted(unknown)))
            raise BrokerError(
                f"{asked.topic} has no partition {named}: it has 0 to {len(metadata.partitions) - 1}"
            )
        return sorted(asked.partitions or metadata.partitions)

    def _span(self, asked: Asked, number: int, of: int) -> Span:
        low, high = self._watermarks(number)
        end = high if asked.to_offset is None else asked.to_offset
        begin = low if asked.from_offset is None else asked.from_offset
        if asked.last is not None:
            begin = max(begin, min(end, high) - -(-asked.last // of))
        if asked.since_ms is not None:
            (found,) = self._consumer.offsets_for_times(
                [ck.TopicPartition(asked.topic, number, max(0, asked.since_ms))], TIMEOUT_S
            )
            begin = max(begin, found.offset if found.offset >= 0 else high)
        first, last = min(max(begin, low), high), min(end, high)
        return Span(
            number,
            first,
            max(first, last),
            deleted=max(0, min(low, end) - begin),
            unwritten=max(0, end - max(high, begin)),
        )

    def _watermarks(self, number: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(self._topic, number), TIMEOUT_S)
        return int(low), int(high)

    def _is_within(self, open_: set[int], record: Record) -> bool:
        """Whether a record is one of the range; where its partition's range has passed, close that."""
        if record.offset < self._end[record.partition]:
            self._next[record.partition] = record.offset + 1
            return True
        # A hand-made producer can write any offset into a record: only one within the partition shows that
        # the end has passed. After another one, the client finds nothing and `_go_on` reads on.
        if record.offset < self._watermarks(record.partition)[1]:
            self._close(open_, record.partition)
        return False

    def _assign(self, begins: dict[int, int]) -> None:
        self._consumer.incremental_assign(
            [ck.TopicPartition(self._topic, number, offset) for number, offset in begins.items()]
        )

    def _unassign(self, partition: int) -> None:
        self._consumer.incremental_unassign([ck.TopicPartition(self._topic, partition)])

    def _close(self, open_: set[int], partition: int) -> None:
        """Read no more of a partition: what is left are markers, or transactions still open."""
        open_.discard(partition)
        self._next[partition] = self._end[partition]
        self._unassign(partition)

    def _go_on(self, open_: set[int], partition: int) -> None:
        """Read on where the client finds nothing: records were deleted, or one's offset lied."""
        low, _ = self._watermarks(partition)
        expected, end = self._next[partition], self._end[partition]
        if low > expected:
            self.deleted += min(low, end) - expected
        self._next[partition] = begin = max(low, expected + (low <= expected))
        if begin >= end:
            self._close(open_, partition)
            return
        self._unassign(partition)
        self._assign({partition: begin})
