"""What a header costs the Kafka client: processor time to read one of a message, and to write one more.

The broker is the one that librdkafka brings along for tests, in this process. Its own thread does not count;
the client's threads do, since they pack the header and send its bytes.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

import confluent_kafka as ck

from worker.kafka.record import Headers

MESSAGES: Final = 20_000
ROUNDS: Final = 5
_BROKER: Final = "rdk:mock"
_QUIET: Final[dict[str, Any]] = {"log_level": 0}
_headers = operator.methodcaller("headers")


def header_cost(without: Headers) -> float:
    """Seconds a message: a traceparent is read, and written beside the headers `without` of an outcome."""
    mock = ck.Producer({**_QUIET, "bootstrap.servers": "", "test.mock.num.brokers": 1})
    brokers = mock.list_topics(timeout=10).brokers.values()
    servers = {**_QUIET, "bootstrap.servers": ",".join(f"{each.host}:{each.port}" for each in brokers)}
    producer = ck.Producer(
        {**servers, "linger.ms": 2, "compression.type": "lz4", "queue.buffering.max.messages": 10 * MESSAGES}
    )
    costs: list[float] = []
    for number in range(ROUNDS):
        topics = f"without-{number}", f"with-{number}"
        bare = _spent(_write(producer, topics[0], lambda _: without))
        more = _spent(_write(producer, topics[1], lambda at: [*without, traceparent(at)]))
        # What is read is the message, which has a traceparent and nothing else, or nothing.
        incoming = f"in-without-{number}", f"in-with-{number}"
        list(_write(producer, incoming[0], lambda _: []))
        list(_write(producer, incoming[1], lambda at: [traceparent(at)]))
        unread, read = (_spent(_read(servers, topic)) for topic in incoming)
        costs.append((more - bare + read - unread) / MESSAGES)
    return median(costs)


def traceparent(at: int, *, sampled: bool = True) -> tuple[str, bytes]:
    """A header that no other message has."""
    return "traceparent", f"00-{1 + at:032x}-{1 + at:016x}-0{int(sampled)}".encode()


def _write(producer: ck.Producer, topic: str, headers: Callable[[int], Headers]) -> Iterator[None]:
    made = [headers(at) for at in range(MESSAGES)]
    yield
    for each in made:
        producer.produce(topic, b"x" * 700, b"key", headers=each)
    producer.flush(30)
    yield


def _read(servers: dict[str, Any], topic: str) -> Iterator[None]:
    consumer = ck.Consumer({**servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([ck.TopicPartition(topic, place, 0) for place in range(4)])
    yield
    left = MESSAGES
    while left > 0:
        messages = consumer.consume(20, 5.0)
        left -= len(messages) or left
        for message in messages:
            _headers(message)
    yield
    consumer.close()


def _spent(steps: Iterator[None]) -> float:
    """Processor seconds between two steps, of all threads but the broker's."""
    next(steps)
    began = _worked()
    next(steps)
    spent = _worked() - began
    list(steps)
    return spent


def _worked() -> float:
    worked = 0.0
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread of the client before has ended just now
            if (thread / "comm").read_text().strip() != _BROKER:
                worked += int((thread / "schedstat").read_text().split()[0]) * 1e-9
    return worked
