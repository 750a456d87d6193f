"""How long a client fetches nothing after its partitions are resumed: docs/benchmarks/rolling.md.

    python -m bench.resumed [--rounds 20]

One bare client reads six partitions that get 200 records a second, pauses all of them for 0.1 s, as a worker
does while the model is busy, and resumes them. What counts is the time until each of them has brought a
record again. In turns, it is resumed as it is, and with the request that a worker makes, which
worker/kafka/librdkafka_waits.py explains.
"""

import argparse
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Final

import confluent_kafka as ck

from bench.yardstick.own_kafka import own_kafka
from worker.kafka.consumer_config import consumer_config
from worker.kafka.librdkafka_waits import end_fetch_wait

TOPIC: Final = "messages"
PARTITIONS: Final = 6
RECORDS_PER_S: Final = 200
PAUSED_S: Final = 0.1
PATIENCE_S: Final = 30.0

Resume = Callable[[ck.Consumer], None]


def as_it_is(consumer: ck.Consumer) -> None:
    """Resume, and no more."""
    consumer.resume(consumer.assignment())


def asking_for_ends(consumer: ck.Consumer) -> None:
    """Resume as a worker does."""
    as_it_is(consumer)
    end_fetch_wait(consumer, [(TOPIC, number) for number in range(PARTITIONS)])


@contextmanager
def producing(bootstrap: str) -> Iterator[None]:
    """Records come to all partitions in turn."""
    over = threading.Event()

    def produce() -> None:
        producer = ck.Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
        number = 0
        while not over.wait(1 / RECORDS_PER_S):
            producer.produce(TOPIC, b"", partition=number % PARTITIONS)
            producer.poll(0)
            number += 1
        producer.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read_all(consumer: ck.Consumer) -> float:
    """Read until every partition has brought a record; returns the seconds it took."""
    began = time.monotonic()
    seen: set[int | None] = set()
    while len(seen) < PARTITIONS:
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(f"{PARTITIONS - len(seen)} partitions brought nothing")
        seen |= {message.partition() for message in consumer.consume(500, 0.01) if message.error() is None}
    return time.monotonic() - began


def resumed(consumer: ck.Consumer, resume: Resume) -> float:
    """Pause, resume and return the seconds until all partitions bring records."""
    until = time.monotonic() + random.uniform(0.2, 1.2)
    while time.monotonic() < until:
        consumer.consume(500, 0.01)
    consumer.pause(consumer.assignment())
    until = time.monotonic() + PAUSED_S
    while time.monotonic() < until:
        consumer.consume(1, 0.01)
    began = time.monotonic()
    resume(consumer)
    asked = time.monotonic() - began
    return asked + read_all(consumer)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    waits: dict[Resume, list[float]] = {as_it_is: [], asking_for_ends: []}
    with own_kafka(TOPIC, PARTITIONS) as bootstrap:
        config = consumer_config({"bootstrap.servers": bootstrap}, "resumed", "classic")
        with (
            closing(ck.Consumer(config | {"auto.offset.reset": "earliest"})) as consumer,
            producing(bootstrap),
        ):
            consumer.subscribe([TOPIC])
            read_all(consumer)
            for _ in range(given.rounds):
                for resume, found in waits.items():
                    found.append(resumed(consumer, resume))
    print("| resumed | until all partitions bring records, ms: median, lowest and highest |\n|---|---|")
    for resume, found in waits.items():
        low, middle, high = (1000 * seconds for seconds in (min(found), median(found), max(found)))
        print(f"| {resume.__name__.replace('_', ' ')} | {middle:.0f} ({low:.0f}-{high:.0f}) |")


if __name__ == "__main__":
    main()
