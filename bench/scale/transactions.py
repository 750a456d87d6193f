"""Measures what a Kafka transaction costs, by the partitions in it and by how many producers commit at once.

    python -m bench.scale.transactions --brokers 1 --json transactions.json

Each transaction does what the worker's outbox does: it writes labels of 700 bytes evenly to so many
partitions, adds the consumed offsets of as many partitions, and commits. The producers are real Kafka clients
with the worker's settings. `--brokers 3` keeps everything three times (two have a record before it counts).
"""

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
import msgspec
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from bench.yardstick.machine import describe
from mimamori.sandbox import Sandbox

LABEL: Final = b'"' + b"x" * 698 + b'"'  # about what a label takes with its headers
STEP_S: Final = 30.0
# As worker/kafka/producer.py has it.
SETTINGS: Final[dict[str, Any]] = {
    "linger.ms": 2,
    "retry.backoff.ms": 1,
    "retry.backoff.max.ms": 200,
    "compression.type": "lz4",
    "log_level": 0,
}


class Cost(msgspec.Struct, frozen=True):
    """Milliseconds of a transaction, medians but for p99: its records' flush, its offsets, its commit."""

    partitions: int
    records: int
    flush: float
    offsets: float
    commit: float
    whole: float
    p99: float


class AtOnce(msgspec.Struct, frozen=True):
    """Transactions a second of so many producers together, each with a few partitions of its own."""

    producers: int
    partitions_each: int
    a_second: float
    p50_ms: float


class Outbox:
    """One transactional producer on a topic, with the offsets of a group that has no members."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        """Start its transactions."""
        self._topic = topic
        servers = {"bootstrap.servers": bootstrap}
        self._producer = ck.Producer({**servers, **SETTINGS, "transactional.id": f"{topic}-{name}"})
        self._producer.init_transactions(STEP_S)
        self._consumer = ck.Consumer({**servers, "group.id": f"{topic}-{name}", "log_level": 0})
        self._offset = 0

    def commit(self, partitions: Sequence[int], records: int) -> tuple[float, float, float]:
        """One transaction; seconds until its records are written, its offsets added, and it is committed."""
        self._offset += 1
        began = time.perf_counter()
        self._producer.begin_transaction()
        for number in range(records):
            self._producer.produce(self._topic, LABEL, partition=partitions[number % len(partitions)])
        self._producer.flush(STEP_S)
        written = time.perf_counter()
        places = [ck.TopicPartition(self._topic, number, self._offset) for number in partitions]
        self._producer.send_offsets_to_transaction(places, self._consumer.consumer_group_metadata(), STEP_S)
        added = time.perf_counter()
        self._producer.commit_transaction(STEP_S)
        return written - began, added - written, time.perf_counter() - added


def cost(bootstrap: str, topic: str, partitions: int, records: int, times: int) -> Cost:
    """The same transaction so many times, one after the other; the first ones are not counted."""
    outbox = Outbox(bootstrap, topic, f"alone-{partitions}-{records}")
    places = range(partitions)
    found = [outbox.commit(places, records) for _ in range(times + 10)][10:]
    whole = sorted(1000 * sum(each) for each in found)
    flush, offsets, commit = (1000 * statistics.median(part) for part in zip(*found, strict=True))
    return Cost(
        partitions, records, flush, offsets, commit, statistics.median(whole), whole[int(0.99 * len(whole))]
    )


def at_once(bootstrap: str, topic: str, producers: int, partitions_each: int, seconds: float) -> AtOnce:
    """So many producers, each in a thread, as fast as they can."""
    outboxes = [Outbox(bootstrap, topic, f"{producers}-{number}") for number in range(producers)]
    times: list[float] = []
    start = threading.Barrier(producers)

    def run(number: int, outbox: Outbox) -> None:
        own = range(number * partitions_each, (number + 1) * partitions_each)
        start.wait()
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            times.append(sum(outbox.commit(own, 4 * partitions_each)))

    threads = [threading.Thread(target=run, args=each) for each in enumerate(outboxes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return AtOnce(producers, partitions_each, len(times) / seconds, 1000 * statistics.median(times))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--producers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    alone: list[Cost] = []
    together: list[AtOnce] = []
    most = max(*options.partitions, 2 * max(options.producers))
    with Sandbox(redis=False, brokers=options.brokers) as sandbox:
        admin = AdminClient({"bootstrap.servers": sandbox.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic("scale", most, min(3, options.brokers))])["scale"].result(60.0)
        cost(sandbox.bootstrap, "scale", 4, 100, 2 * options.times)  # warms the broker
        for partitions in options.partitions:
            alone.append(cost(sandbox.bootstrap, "scale", partitions, 1024, options.times))
            print(alone[-1], flush=True)
        for producers in options.producers:
            together.append(at_once(sandbox.bootstrap, "scale", producers, 2, options.seconds))
            print(together[-1], flush=True)
    if options.json:
        figures: dict[str, Any] = {
            "machine": describe(),
            "load": os.getloadavg(),
            "brokers": options.brokers,
            "alone": msgspec.to_builtins(alone),
            "at_once": msgspec.to_builtins(together),
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
