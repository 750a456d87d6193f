"""How long partitions have no reader when a member joins or leaves: docs/benchmarks/rolling.md.

    python -m bench.handover [--rounds 5]

Four bare clients read six partitions, polling all the time, and give up at once what they are told to. A
fifth joins; once all is given out, the first leaves. Then the same with a fifth that stands by: it is
connected, looks at the group again and again, and joins when the first leaves, so that one rebalance has
both. What is measured is Kafka and librdkafka: the only code of Mimamori's is the request that ends the
client's wait before the second step of a rebalance, in the rows that say so. It takes little processor time,
so that a busy machine disturbs it less than `bench.rolling`.
"""

import argparse
import threading
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from bench.yardstick.own_kafka import own_kafka
from worker.kafka.librdkafka_waits import end_join_wait

PARTITIONS: Final = 6
MEMBERS: Final = 4
PATIENCE_S: Final = 60.0
STILL_S: Final = 2.5  # without a change: the rebalance is over
LOOK_S: Final = 0.02
TOPIC: Final = "messages"
WITHOUT: Final = "without the wait"
WAYS: Final[dict[str, dict[str, Any]]] = {
    "`classic`, heartbeat 2 s": {"heartbeat.interval.ms": 2000},
    "`classic`, heartbeat 300 ms": {"heartbeat.interval.ms": 300},
    "`classic`, heartbeat 100 ms": {"heartbeat.interval.ms": 100},
    "`classic`, heartbeat 300 ms, steps without the wait": {"heartbeat.interval.ms": 300},
    "`classic`, heartbeat 100 ms, steps without the wait (as workers are)": {"heartbeat.interval.ms": 100},
    "`consumer`, heartbeat 500 ms at the broker": {"group.protocol": "consumer"},
}


class Readers:
    """Who reads which partition, and for how long nobody did. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, float] = {}
        self._gaps: list[float] = []
        self.owned: dict[int, int] = {}
        self.changed = time.monotonic()

    def take(self, member: int, partitions: list[int]) -> None:
        """A member reads these now."""
        with self._lock:
            self.changed = time.monotonic()
            for number in partitions:
                self.owned[number] = member
                if (since := self._free.pop(number, None)) is not None:
                    self._gaps.append(self.changed - since)

    def free(self, partitions: list[int]) -> None:
        """Nobody reads these any more."""
        with self._lock:
            self.changed = time.monotonic()
            for number in partitions:
                self.owned.pop(number, None)
                self._free[number] = self.changed

    def settle(self, joiner: int) -> list[float]:
        """Wait until `joiner` and all partitions have what is theirs and nothing changes.

        Returns how long each partition that moved had no reader.
        """
        deadline = time.monotonic() + PATIENCE_S
        while (
            joiner not in self.owned.values()
            or len(self.owned) < PARTITIONS
            or time.monotonic() < self.changed + STILL_S
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{PARTITIONS - len(self.owned)} partitions have no reader")
            time.sleep(0.05)
        with self._lock:
            gaps, self._gaps = self._gaps, []
        return gaps


class Member:
    """A client that polls on its own thread."""

    def __init__(
        self,
        config: dict[str, Any],
        number: int,
        readers: Readers,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        """It joins once `wait` returns."""
        self._number, self._readers, self._wait = number, readers, wait
        self._asks = WITHOUT in config["group.id"]
        self._stepped = False  # a step of a rebalance was taken
        self._ends = threading.Event()
        self._consumer = ck.Consumer(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the group."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        self._wait()
        self._consumer.subscribe([TOPIC], self._assigned, self._revoked, self._revoked)
        while not self._ends.is_set():
            self._consumer.poll(0.02)
            self._consumer.memberid()  # as workers do at each poll: it wakes the client's main thread
            if self._stepped and self._asks:
                self._stepped = False
                end_join_wait(self._consumer, TOPIC)
        self._consumer.close()

    def _assigned(self, consumer: ck.Consumer, places: list[ck.TopicPartition]) -> None:
        self._stepped = True
        consumer.incremental_assign(places)
        self._readers.take(self._number, [place.partition for place in places])

    def _revoked(self, consumer: ck.Consumer, places: list[ck.TopicPartition]) -> None:
        self._stepped = True
        self._readers.free([place.partition for place in places])
        consumer.incremental_unassign(places)


def measured(bootstrap: str, way: str, rounds: int) -> str:
    """A row of the table."""
    config = {
        "bootstrap.servers": bootstrap,
        "group.id": way,
        "log_level": 0,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10,  # as workers have it: a broker answers a connection's requests one by one
        **({} if "group.protocol" in WAYS[way] else {"partition.assignment.strategy": "cooperative-sticky"}),
        **WAYS[way],
    }
    readers = Readers()
    crew = [Member(config, number, readers) for number in range(MEMBERS)]
    readers.settle(MEMBERS - 1)
    joined: list[float] = []
    left: list[float] = []
    replaced: list[float] = []
    for number in range(rounds):
        crew.append(Member(config, MEMBERS + number, readers))
        joined += readers.settle(MEMBERS + number)
        crew.pop(0).close()
        left += readers.settle(MEMBERS + number)
    for number in range(MEMBERS + rounds, MEMBERS + 2 * rounds):
        looks = threading.Event()
        crew.append(Member(config, number, readers, partial(await_change, bootstrap, way, looks)))
        looks.wait()
        crew.pop(0).close()
        replaced += readers.settle(number)
    for member in crew:
        member.close()
    return f"| {way} | {told(joined)} | {told(left)} | {told(replaced)} |"


def await_change(bootstrap: str, group: str, begun: threading.Event) -> None:
    """Return when the group is not as it was: somebody has left."""
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def seen() -> tuple[object, ...]:
        found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
        return found.state, {member.member_id for member in found.members}

    first = seen()
    begun.set()
    while seen() == first:
        time.sleep(LOOK_S)


def told(gaps: list[float]) -> str:
    """The median, lowest and highest, in seconds."""
    return (
        f"{median(gaps):.2f} ({min(gaps):.2f}-{max(gaps):.2f}), {len(gaps)} moved" if gaps else "none moved"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with own_kafka(TOPIC, PARTITIONS) as bootstrap:
        print("| | no reader when one joins, s | when one leaves, s | when one joins as another leaves, s |")
        print("|---|---|---|---|", flush=True)
        for way in WAYS:
            print(measured(bootstrap, way, given.rounds), flush=True)


if __name__ == "__main__":
    main()
