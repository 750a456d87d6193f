"""Measures what the notes of what the model has in hand cost, in a group of many partitions.

    python -m bench.scale.notes --partitions 100 1000 10000 --json notes.json

Each worker writes a note of each partition in a batch before the model gets it, and one after it, to one
topic of one partition, and reads that topic from its start when it is given partitions. Timed with the
worker's own class: a write that waits for its acknowledgement, one worker alone and several at once, and a
read, of a topic that was just compacted (a note of each partition) and of one that was not for a while.
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

import msgspec
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from bench.yardstick.machine import describe
from mimamori.sandbox import Sandbox
from worker.kafka.in_hand_topic import KafkaInHandTopic
from worker.kafka.record import Partition

NOTE: Final = b'{"writer":"0123456789abcdef","held":{"first":123456,"last":123890,"count":200},"deaths":0}'
GROUP: Final = "mimamori"
TOPIC: Final = "mimamori.messages"
PER_BATCH: Final = 2  # partitions in a batch of one worker


class Read(msgspec.Struct, frozen=True):
    """Milliseconds of a read, as at a rebalance, with so many notes of each partition in the topic."""

    partitions: int
    of_each: int
    ms: float


class Write(msgspec.Struct, frozen=True):
    """So many workers at once: notes a second of all, and how long one waits for its acknowledgement."""

    workers: int
    notes_a_second: float
    p50_ms: float
    p99_ms: float


def read(bootstrap: str, topic: str, partitions: int, of_each: int) -> Read:
    """Fill a topic, and read it from its start as a worker does; the median of three."""
    in_hand = KafkaInHandTopic({"bootstrap.servers": bootstrap}, GROUP, topic)
    places: list[Partition] = [(TOPIC, number) for number in range(partitions)]
    for _ in range(of_each):
        in_hand.write(dict.fromkeys(places, NOTE))
        in_hand.settle()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        found = in_hand.read(places[:PER_BATCH])
        times.append(time.perf_counter() - began)
        if len(found) != PER_BATCH:
            raise SystemExit(f"{len(found)} notes were found of {PER_BATCH}")
    in_hand.close()
    return Read(partitions, of_each, 1000 * statistics.median(times))


def write(bootstrap: str, topic: str, workers: int, seconds: float) -> Write:
    """So many workers, each in a thread, as fast as they can."""
    times: list[float] = []
    start = threading.Barrier(workers)

    def run(number: int) -> None:
        in_hand = KafkaInHandTopic({"bootstrap.servers": bootstrap}, GROUP, topic)
        notes = {(TOPIC, PER_BATCH * number + each): NOTE for each in range(PER_BATCH)}
        in_hand.write(notes)
        in_hand.settle()
        start.wait()
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            began = time.perf_counter()
            in_hand.write(notes)
            in_hand.settle()
            times.append(1000 * (time.perf_counter() - began))
        in_hand.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    rate = PER_BATCH * len(times) / seconds
    return Write(workers, rate, statistics.median(times), times[int(0.99 * len(times))])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--partitions", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--of-each", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    reads: list[Read] = []
    writes: list[Write] = []
    with Sandbox(redis=False) as sandbox:
        admin = AdminClient({"bootstrap.servers": sandbox.bootstrap, "log_level": 0})

        def laid(topic: str) -> str:
            admin.create_topics([NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})])[topic].result(
                60.0
            )
            return topic

        write(sandbox.bootstrap, laid("warm"), 4, 3.0)
        for workers in options.workers:
            writes.append(write(sandbox.bootstrap, laid(f"written-{workers}"), workers, options.seconds))
            print(writes[-1], flush=True)
        for partitions in options.partitions:
            for of_each in options.of_each:
                topic = laid(f"read-{partitions}-{of_each}")
                reads.append(read(sandbox.bootstrap, topic, partitions, of_each))
                print(reads[-1], flush=True)
    if options.json:
        figures: dict[str, Any] = {
            "machine": describe(),
            "load": os.getloadavg(),
            "reads": msgspec.to_builtins(reads),
            "writes": msgspec.to_builtins(writes),
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
