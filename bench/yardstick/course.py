"""The topics that the lanes of bench/stream.py run on, and what Kafka itself says of a lane's progress.

Progress is what the lane's group has committed, asked of the broker some times a second: the one figure
that all lanes share, and the one that counts, since what is not committed is done again after a crash.
Afterwards a read-committed reader counts the outcomes per record of origin.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable

import confluent_kafka as ck
import msgspec
from confluent_kafka.admin import AdminClient

from bench.yardstick.fetched import records
from schemas import load_topics
from worker.kafka.topics import apply_topics

_TICK = os.sysconf("SC_CLK_TCK")
TIMEOUT_S = 20.0
QUIET = 2  # of syslog: these clients outlive the broker, and would say so


class Origin(msgspec.Struct):
    """Of which record an outcome speaks."""

    partition: int
    offset: int


class Outcome(msgspec.Struct):
    """What is counted of a label or a dead letter."""

    origin: Origin
    reason: str = ""


class Course:
    """One broker, with the topics under each of some prefixes."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.bootstrap = bootstrap
        self.partitions = partitions
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": QUIET})
        self._decoder = msgspec.json.Decoder(Outcome)

    def lay(self, prefix: str) -> None:
        """Create the topics under `prefix`."""
        topics = load_topics(prefix, replication_factor=1, partitions=self.partitions)
        apply_topics({"bootstrap.servers": self.bootstrap}, topics)

    def fill(self, topic: str, values: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Write (key, value) pairs; returns how many."""
        producer = ck.Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": QUIET,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
                "partitioner": "murmur2_random",
            }
        )
        count = 0
        for key, value in values:
            producer.produce(topic, value, key)
            count += 1
            if not count % 1000:
                producer.poll(0)
        if producer.flush(TIMEOUT_S):
            raise SystemExit(f"could not fill {topic}")
        return count

    def committed(self, group: str, topic: str) -> int:
        """How many records of `topic` the group has done with: the sum of its offsets."""
        places = [ck.TopicPartition(topic, number) for number in range(self.partitions)]
        asked = [ck.ConsumerGroupTopicPartitions(group, places)]
        try:
            answer = self._admin.list_consumer_group_offsets(asked)[group].result(TIMEOUT_S)
        except ck.KafkaException:  # no such group yet
            return 0
        return sum(max(0, place.offset) for place in answer.topic_partitions)

    def ends(self, topics: Iterable[str]) -> list[ck.TopicPartition]:
        """Where each partition ends now."""
        reader = self._reader()
        places = [ck.TopicPartition(topic, n) for topic in topics for n in range(self.partitions)]
        for place in places:
            place.offset = _patiently(reader, place)
        reader.close()
        return places

    def outcomes(self, since: list[ck.TopicPartition]) -> tuple[Counter[tuple[int, int]], Counter[str]]:
        """Everything committed behind `since`: outcomes per (partition, offset) of origin, and reasons.

        A label counts under the reason "".
        """
        reader = self._reader()
        reader.assign(since)
        found: Counter[tuple[int, int]] = Counter()
        reasons: Counter[str] = Counter()
        ended: set[tuple[str | None, int | None]] = set()  # a partition may reach its end twice, as it grows
        while len(ended) < len(since):
            messages = reader.consume(5000, 1.0)
            for record in records(messages):
                event = self._decoder.decode(record.value)
                found[event.origin.partition, event.origin.offset] += 1
                reasons[event.reason] += 1
            for message in messages:
                error = message.error()
                if error and error.code() == ck.KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's spelling
                    ended.add((message.topic(), message.partition()))
        reader.close()
        return found, reasons

    def forget(self, topics: Iterable[str]) -> None:
        """Delete what the topics hold: a disk is not what is measured."""
        for future in self._admin.delete_records(self.ends(topics)).values():
            future.result(TIMEOUT_S)

    def _reader(self) -> ck.Consumer:
        return ck.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "course",
                "log_level": QUIET,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )


def _patiently(reader: ck.Consumer, place: ck.TopicPartition) -> int:
    """The end of a partition; one that was created just now has no leader for a moment."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            end: int = reader.get_watermark_offsets(place, TIMEOUT_S)[1]
        except ck.KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return end


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and kernel mode."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - read fifty times a second
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
