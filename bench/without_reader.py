"""Forces partitions without a reader on a real Kafka, and tries what may end that: docs/benchmarks/soak.md.

    python -m bench.without_reader

A member with a `group.instance.id` reads all four partitions and stands still as it is told to give two of
them up; another client takes its id. Bare clients, without any of Mimamori's code: what is measured is Kafka
and librdkafka.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import confluent_kafka as ck

from bench.yardstick.own_kafka import own_kafka

PARTITIONS: Final = 4
PATIENCE_S: Final = 15.0
START_S: Final = 30.0
TOPIC: Final = "messages"


class Member:
    """A client that polls on its own thread. Where `thaws` is given, it gives nothing up before."""

    def __init__(
        self, config: dict[str, Any], instance: str = "", thaws: threading.Event | None = None
    ) -> None:
        self._config = config | ({"group.instance.id": instance} if instance else {})
        self._instance = instance
        self._thaws = thaws
        self._ends = threading.Event()
        self._anew = threading.Event()
        self.owned: set[int] = set()
        self.gives_up = threading.Event()
        self._consumer = ck.Consumer(self._config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join_anew(self) -> "Member":
        """Leave the group and join it again, in place."""
        self._anew.set()
        return self

    def restart(self) -> "Member":
        """End, and start another member in its place."""
        self.close()
        return Member(self._config, self._instance)

    def close(self) -> None:
        """End, as a worker does."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        self._join()
        while not self._ends.is_set():
            self._consumer.poll(0.05)
            if self._anew.is_set():
                self._anew.clear()
                self._consumer.unsubscribe()
                self._join()
        self._consumer.close()

    def _join(self) -> None:
        self._consumer.subscribe([TOPIC], self._assigned, self._revoked, self._revoked)

    def _assigned(self, consumer: ck.Consumer, places: list[ck.TopicPartition]) -> None:
        self.owned |= {place.partition for place in places}
        consumer.incremental_assign(places)

    def _revoked(self, consumer: ck.Consumer, places: list[ck.TopicPartition]) -> None:
        self.gives_up.set()
        if self._thaws is not None:
            self._thaws.wait()
        self.owned -= {place.partition for place in places}
        consumer.incremental_unassign(places)


End = Callable[[Member, Member], tuple[Member, Member]]  # the successor and its colleague, then and now


def wait(condition: Callable[[], bool], patience_s: float) -> float | None:
    """Return the seconds until `condition`, or None where it does not come true in time."""
    began = time.monotonic()
    while time.monotonic() - began < patience_s:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    return None


def await_start(condition: Callable[[], bool]) -> None:
    """Wait for a step on the way to the gap. Raises RuntimeError: it does not come."""
    if wait(condition, START_S) is None:
        raise RuntimeError("the gap could not be forced: is this machine very busy?")


def attempt(bootstrap: str, way: str, colleague_instance: str, end: End) -> str:
    """Force the gap in a group of its own, try to end it, and return a row of the table."""
    config = {
        "bootstrap.servers": bootstrap,
        "group.id": f"{way} {colleague_instance}",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 300,
        "log_level": 0,
        "error_cb": lambda _: None,  # the frozen member is fenced, as it should be
    }
    thaws = threading.Event()
    frozen = Member(config, "one", thaws)
    await_start(lambda: len(frozen.owned) == PARTITIONS)
    colleague = Member(config, colleague_instance)
    await_start(frozen.gives_up.is_set)
    successor = Member(config, "one")
    await_start(lambda: bool(successor.owned))
    thaws.set()
    frozen.close()
    time.sleep(3)
    gap = PARTITIONS - len(successor.owned | colleague.owned)
    pair = end(successor, colleague)
    mended = wait(lambda: len(pair[0].owned | pair[1].owned) == PARTITIONS, PATIENCE_S)
    for member in pair:
        member.close()
    kind = "with an id" if colleague_instance else "without"
    return f"| {way} | {kind} | {gap} of {PARTITIONS} | {f'{mended:.1f} s' if mended else 'no'} |"


def main() -> None:
    """Print the table."""
    ways: dict[str, End] = {
        "nothing": lambda successor, colleague: (successor, colleague),
        "the successor is restarted": lambda successor, colleague: (successor.restart(), colleague),
        "the colleague is restarted": lambda successor, colleague: (successor, colleague.restart()),
        "the successor joins anew": lambda successor, colleague: (successor.join_anew(), colleague),
        "the colleague joins anew": lambda successor, colleague: (successor, colleague.join_anew()),
    }
    with own_kafka(TOPIC, PARTITIONS) as bootstrap:
        print("| what is done | the colleague | without a reader before | ended within |\n|---|---|---|---|")
        for way, end in ways.items():
            for instance in ("", "two"):
                print(attempt(bootstrap, way, instance, end), flush=True)


if __name__ == "__main__":
    main()
