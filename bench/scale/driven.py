"""Real workers on a real Kafka: sends them messages when they are due, and notes what became of each."""

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import confluent_kafka as ck
import msgspec
import numpy as np
from confluent_kafka.admin import AdminClient

from bench.lanes.job import Job, Settings
from bench.scale.arrivals import Exact
from bench.scale.spans import Batches, Took
from bench.yardstick import corpus
from bench.yardstick.course import Course
from bench.yardstick.fetched import records
from bench.yardstick.ride import LaneError, Lanes, started

PATIENCE_S: Final = 180.0
PARTITIONS: Final = 4


class _Label(msgspec.Struct):
    message_id: str


class Reader:
    """Notes when each label becomes visible, on a thread of its own."""

    def __init__(self, course: Course, labels: str) -> None:
        """Read what comes from now on."""
        self.seen: dict[str, float] = {}
        self._stop = threading.Event()
        since = course.ends([labels])
        self._thread = threading.Thread(target=self._read, args=(course.bootstrap, since))
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _read(self, bootstrap: str, since: list[ck.TopicPartition]) -> None:
        reader = ck.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "compared",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
                "log_level": 0,
            }
        )
        reader.assign(since)
        decoder = msgspec.json.Decoder(_Label)
        while not self._stop.is_set():
            fetched = reader.consume(500, 0.02)
            now = time.time()
            for record in records(fetched):
                self.seen[decoder.decode(record.value).message_id] = now
        reader.close()


class Run:
    """One group of real workers on the course, and what they are sent."""

    def __init__(self, lanes: Lanes, job: Job, batches: Batches) -> None:
        """`job` says which device the workers have; they report their `batches`."""
        self._lanes = lanes
        self._job = job
        self._batches = batches
        self._number = 0
        self._values = corpus.distinct(10**9)
        self._producer = ck.Producer({"bootstrap.servers": job.bootstrap, "linger.ms": 1, "log_level": 0})
        self._admin = AdminClient({"bootstrap.servers": job.bootstrap, "log_level": 0})

    def drive(
        self, workers: int, arrivals: Exact, kill_at: float | None = None
    ) -> tuple[Exact, dict[int, float], list[Took]]:
        """Send the arrivals to so many workers.

        Returns when each was really sent, each message's wait, and what batches took, in seconds since the
        first message.

        Raises LaneError: a worker ended, or labels did not come.
        """
        course, labels = self._lanes.course, self._job.labels
        job = replace(self._lanes.job(self._job.messages), seconds_per_message=self._job.seconds_per_message)
        told: Settings = {"traces_endpoint": self._batches.url, "traces_ratio": 1.0, "traces_at_most": 0.001}
        job = replace(job, bundle=self._job.bundle, settings=told)
        course.forget([job.messages, labels])
        reader = Reader(course, labels)
        with ExitStack() as stack:
            stack.callback(reader.close)
            fleet = [stack.enter_context(started("mimamori", job)) for _ in range(workers)]
            self._await(lambda: self._shared_out(job.group, workers), fleet, "the group is not shared out")
            first = [self._send(partition) for partition in range(PARTITIONS)]
            self._await(lambda: all(name in reader.seen for name in first), fleet, "nobody begins")
            sent = self._schedule(arrivals, fleet, kill_at)
            fleet = fleet[: workers - (kill_at is not None)]
            self._await(
                lambda: len(reader.seen) >= len(first) + len(sent), fleet, "labels are missing at the end"
            )
        waits = {number: reader.seen[f"m-{number}"] - at for number, _, at in sent}
        began = sent[0][2]
        times = [
            np.array([at - began for _, where, at in sent if where == place]) for place in range(PARTITIONS)
        ]
        took = [each.after(began) for each in self._batches.since(began)]
        return Exact(times, sent[-1][2] - began), waits, took

    def _schedule(
        self, arrivals: Exact, fleet: list[subprocess.Popen[bytes]], kill_at: float | None
    ) -> list[tuple[int, int, float]]:
        """Send each message when it is due; returns number, partition and moment of each."""
        due = sorted(
            (arrivals.when(place, number), place)
            for place in range(PARTITIONS)
            for number in range(1, arrivals.by(place, np.inf) + 1)
        )
        sent: list[tuple[int, int, float]] = []
        began = time.time()
        for at, place in due:
            while (left := began + at - time.time()) > 0:
                self._producer.poll(0)
                time.sleep(min(left, 0.002))
            if kill_at is not None and at >= kill_at:
                fleet[-1].kill()
                kill_at = None
            number = int(self._send(place).removeprefix("m-"))
            sent.append((number, place, time.time()))
        self._producer.flush(PATIENCE_S)
        return sent

    def _send(self, partition: int) -> str:
        key, value = next(self._values)
        self._producer.produce(self._job.messages, value, key, partition=partition)
        self._producer.poll(0)
        self._number += 1
        return f"m-{self._number - 1}"

    def _shared_out(self, group: str, workers: int) -> bool:
        try:
            found = self._admin.describe_consumer_groups([group])[group].result(20.0)
        except ck.KafkaException:  # the group has no coordinator yet
            return False
        parts = [len(member.assignment.topic_partitions) for member in found.members]
        return len(parts) == workers and sum(parts) == PARTITIONS and min(parts) > 0

    @staticmethod
    def _await(holds: Callable[[], bool], fleet: list[subprocess.Popen[bytes]], what: str) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > ends or any(process.poll() is not None for process in fleet):
                raise LaneError(what)
            time.sleep(0.1)
