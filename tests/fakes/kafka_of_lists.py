"""A Kafka of lists, with as much of confluent_kafka's clients as docs/examples/recover.py calls.

It shows on demand what a real one shows rarely: a record that is refused, a queue that is full, no answer.
"""

import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

MESSAGES, LABELS, LETTERS = "house.messages", "house.labels", "house.dead-letters"
Headers = list[tuple[str, bytes]]
Answer = Callable[[KafkaError | None, "Stood"], None]


@dataclass
class Stood:
    """A record, or the end of a partition."""

    where: tuple[str, int, int]
    content: bytes | None = None
    at: int = 0
    more: Headers = field(default_factory=list)
    fault: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.fault

    def partition(self) -> int:
        return self.where[1]

    def offset(self) -> int:
        return self.where[2]

    def value(self) -> bytes | None:
        return self.content

    def key(self) -> bytes:
        return b"a key"

    def headers(self) -> Headers:
        return self.more

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at


class Kafka:
    """Topics of two partitions. It can refuse records, be full, fall silent, and have a group's members."""

    def __init__(self) -> None:
        self.stood: dict[tuple[str, int], list[Stood]] = {
            (topic, number): [] for topic in (MESSAGES, LABELS, LETTERS) for number in range(2)
        }
        self.refuses: list[int] = []  # of which of the records that are produced, counted from 0
        self.too_large: list[int] = []
        self.full = 0
        self.silent = False
        self.denied: dict[str, KafkaError] = {}
        self.members: dict[str, int] = {}
        self.partial: list[int] = []  # partitions whose place it does not take
        self.committed: dict[str, dict[int, int]] = {}
        self.settings: list[dict[str, Any]] = []

    def write(self, topic: str, partition: int, value: Any = None, *, at: int = 0, more: Headers = []) -> int:  # noqa: B006 - read alone
        records = self.stood[topic, partition]
        content = json.dumps(value).encode() if value is not None else b"not ours"
        records.append(Stood((topic, partition, len(records)), content, at, list(more)))
        return len(records) - 1

    def outcome(self, partition: int, offset: int, at: int = 0, *, letter: bool = False, **more: str) -> None:
        """The labels topic has other partitions than the messages: all is in the first."""
        origin = {"topic": MESSAGES, "partition": partition, "offset": offset}
        said = {"reason": "unknown_task", "bundle": "b0b", "verdict": "clear"} | more
        self.write(LETTERS if letter else LABELS, 0, {"origin": origin, **said}, at=at)

    def copies(self) -> list[tuple[int, bytes]]:
        return [
            (number, value)
            for number in range(2)
            for each in self.stood[MESSAGES, number]
            for name, value in each.more
            if name == "sent-again"
        ]


class Consumer:
    def __init__(self, kafka: Kafka, settings: dict[str, Any]) -> None:
        self.kafka, self.group = kafka, settings["group.id"]
        self.left: deque[Stood] = deque()

    def list_topics(self, topic: str, _timeout: float) -> SimpleNamespace:
        numbers = {number: None for name, number in self.kafka.stood if name == topic}
        return SimpleNamespace(
            topics={topic: SimpleNamespace(error=self.kafka.denied.get(topic), partitions=numbers)}
        )

    def offsets_for_times(self, times: list[TopicPartition], _timeout: float) -> list[TopicPartition]:
        for each in times:
            records = self.kafka.stood[each.topic, each.partition]
            newer = [stood.offset() for stood in records if stood.at >= each.offset]
            each.offset = min(newer, default=len(records))
        return times

    def assign(self, starts: list[TopicPartition]) -> None:
        for each in starts:
            self.left.extend(self.kafka.stood[each.topic, each.partition][each.offset :])
            eof = KafkaError(KafkaError._PARTITION_EOF)
            self.left.append(Stood((each.topic, each.partition, -1), fault=eof))

    def poll(self, _timeout: float) -> Stood | None:
        return None if self.kafka.silent else self.left.popleft()

    def get_watermark_offsets(self, place: TopicPartition, _timeout: float) -> tuple[int, int]:
        return 0, len(self.kafka.stood[place.topic, place.partition])

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> list[SimpleNamespace]:
        assert not asynchronous
        answers = []
        for each in offsets:
            fault = KafkaError(KafkaError.REQUEST_TIMED_OUT) if each.partition in self.kafka.partial else None
            if fault is None:
                self.kafka.committed.setdefault(self.group, {})[each.partition] = each.offset
            answers.append(SimpleNamespace(partition=each.partition, error=fault))
        return answers

    def close(self) -> None:
        pass


class Producer:
    def __init__(self, kafka: Kafka) -> None:
        self.kafka, self.produced = kafka, 0
        self.waiting: deque[Callable[[], None]] = deque()

    def produce(
        self,
        topic: str,
        value: bytes,
        _key: bytes,
        partition: int,
        headers: Headers,
        on_delivery: Answer | None = None,
    ) -> None:
        if self.kafka.full:
            raise BufferError
        number, self.produced = self.produced, self.produced + 1
        if number in self.kafka.too_large:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        records = self.kafka.stood[topic, partition]
        stood = Stood((topic, partition, len(records)), value, 0, headers)
        fault = KafkaError(KafkaError.NOT_ENOUGH_REPLICAS) if number in self.kafka.refuses else None
        if fault is None:
            records.append(stood)
        if on_delivery is not None:
            self.waiting.append(lambda: on_delivery(fault, stood))

    def poll(self, _timeout: float) -> None:
        self.kafka.full = max(0, self.kafka.full - 1)

    def flush(self, _timeout: float) -> int:
        while self.waiting:
            self.waiting.popleft()()
        return 0


class AdminClient:
    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka

    def describe_consumer_groups(
        self, groups: list[str], *, request_timeout: float
    ) -> dict[str, Future[Any]]:
        assert request_timeout
        answers: dict[str, Future[Any]] = {group: Future() for group in groups}
        for group, answer in answers.items():
            if group in self.kafka.members:
                answer.set_result(SimpleNamespace(members=[None] * self.kafka.members[group]))
            else:
                answer.set_exception(KafkaException(KafkaError(KafkaError.GROUP_ID_NOT_FOUND)))
        return answers
