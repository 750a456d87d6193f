"""The topics that the lanes of bench/stream.py run on, and a lane's progress as Kafka itself knows it.

A lane's progress is what its group has committed. The broker is asked for it several times a second. All
lanes have this figure, and it is the one that counts, since uncommitted work is done again after a crash.
Afterwards a read-committed reader counts the outcomes of each record.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import confluent_kafka as ck
import msgspec
from confluent_kafka.admin import AdminClient

from bench.yardstick.fetched import records
from schemas import load_topics
from worker.kafka.topics import apply_topics

_TICK = os.sysconf("SC_CLK_TCK")
TIMEOUT_S = 20.0
QUIET = 2  # a syslog level: these clients outlive the broker, and would log that


class Origin(msgspec.Struct):
    """The record that an outcome belongs to."""

    partition: int
    offset: int


class Outcome(msgspec.Struct):
    """The parts of a label or a dead letter that are counted."""

    origin: Origin
    reason: str = ""


class Course:
    """One broker with several sets of topics, one for each prefix."""

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
        """Write (key, value) pairs; returns their number."""
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
        """The number of records of `topic` that the group has finished: the sum of its offsets."""
        places = [ck.TopicPartition(topic, number) for number in range(self.partitions)]
        asked = [ck.ConsumerGroupTopicPartitions(group, places)]
        try:
            answer = self._admin.list_consumer_group_offsets(asked)[group].result(TIMEOUT_S)
        except ck.KafkaException:  # the group does not exist yet
            return 0
        return sum(max(0, place.offset) for place in answer.topic_partitions)

    def ends(self, topics: Iterable[str]) -> list[ck.TopicPartition]:
        """The end offset of each partition."""
        reader = self._reader()
        places = [ck.TopicPartition(topic, n) for topic in topics for n in range(self.partitions)]
        for place in places:
            place.offset = _patiently(reader, place)
        reader.close()
        return places

    def outcomes(self, since: list[ck.TopicPartition]) -> tuple[Counter[tuple[int, int]], Counter[str]]:
        """Count what was committed after `since`: outcomes per (partition, offset) of origin, and reasons.

        Labels are counted under the reason "".
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
        """Delete the topics' records, so that the disk does not fill up."""
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
    """The end of a partition. It asks again for a while, since a new partition has no leader at first."""
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


def cpu_seconds_beside(pids: Iterable[int]) -> float:
    """The CPU time so far of this process and of all that it started, the broker too, but for `pids`."""
    children = {
        int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()
    }
    return sum(map(cpu_seconds, {os.getpid(), *children} - set(pids)))


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used so far, in user and kernel mode."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - faster, and read fifty times a second
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
