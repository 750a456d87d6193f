"""Measures how long a consumer group takes to share out partitions, by its members and their protocol.

    python -m bench.scale.groups --members 10 50 100 --json groups.json

The members are real Kafka clients with the worker's settings, all in this process, without a model and
without messages: so it measures the group alone. For each number of members, three things are timed: the
group forms, one more member joins, one leaves in good order. `gap` is the longest time that a partition had
no reader. Members that die are not timed: their partitions wait for the session's end, and then as if they
had left.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
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
from worker.kafka.consumer_config import consumer_config
from worker.settings import GroupProtocol

PATIENCE_S: Final = 180.0
PARTITIONS_A_MEMBER: Final = 2  # as `mimamori size` says
PROTOCOLS: Final[tuple[GroupProtocol, ...]] = ("classic", "consumer")


class Change(msgspec.Struct, frozen=True):
    """A change of the group: seconds until each partition has a reader and shares are even, and the gap."""

    seconds: float
    gap: float
    moved: int  # partitions that changed their reader


class Found(msgspec.Struct, frozen=True):
    """What one group took. `describe_s` is how long the broker takes to describe it, as GroupWatch asks."""

    protocol: GroupProtocol
    members: int
    partitions: int
    formed: Change
    joined: Change
    left: Change
    describe_s: float


class Group:
    """Members of one group in this process, and which partition is read by whom, since when."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, protocol: GroupProtocol) -> None:
        """Nobody has joined yet."""
        self._topic = topic
        self._partitions = partitions
        # Without messages, fetches that come back every 10 ms would be all that the broker does.
        quiet = {"fetch.wait.max.ms": 500, "log_level": 0}
        self._config = consumer_config({"bootstrap.servers": bootstrap, **quiet}, topic, protocol)
        self.members: list[ck.Consumer] = []
        self._owned: dict[int, set[int]] = {}  # by the member's number
        self._without: dict[int, float] = {}  # since when a partition has had no reader
        self._gap = 0.0
        self._moved = 0

    def join(self, count: int) -> Change:
        """So many members more; see Change. Raises SystemExit: the group did not settle in time."""
        began = time.perf_counter()
        for _ in range(count):
            number = len(self.members)
            consumer = ck.Consumer(self._config)
            self._owned[number] = set()
            self.members.append(consumer)
            consumer.subscribe(
                [self._topic],
                on_assign=self._assigned(number),
                on_revoke=self._revoked(number),
                on_lost=self._revoked(number),
            )
        return self._settled(began)

    def leave(self) -> Change:
        """The last member closes in good order."""
        began = time.perf_counter()
        number = len(self.members) - 1
        for partition in self._owned.pop(number):
            self._without[partition] = began
        self.members.pop().close()
        return self._settled(began)

    def close(self) -> None:
        """Every member leaves. One that is only forgotten would wait for its callbacks, for ever."""
        while self.members:
            self._owned.pop(len(self.members) - 1)
            self.members.pop().close()

    def _settled(self, began: float) -> Change:
        fewest = self._partitions // len(self.members)
        self._gap, self._moved = 0.0, 0
        while True:
            for member in self.members:
                member.poll(0)
            shares = [len(owned) for owned in self._owned.values()]
            if sum(shares) == self._partitions and min(shares) >= fewest:
                return Change(time.perf_counter() - began, self._gap, self._moved)
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit(
                    f"{len(self.members)} members were not settled: {sum(shares)} of {self._partitions}"
                )

    def _assigned(self, number: int) -> Callable[[ck.Consumer, list[ck.TopicPartition]], None]:
        def note(_: ck.Consumer, places: list[ck.TopicPartition]) -> None:
            if number not in self._owned:  # it closes
                return
            now = time.perf_counter()
            for place in places:
                self._owned[number].add(place.partition)
                self._moved += 1
                if (since := self._without.pop(place.partition, None)) is not None:
                    self._gap = max(self._gap, now - since)

        return note

    def _revoked(self, number: int) -> Callable[[ck.Consumer, list[ck.TopicPartition]], None]:
        def note(_: ck.Consumer, places: list[ck.TopicPartition]) -> None:
            if number not in self._owned:  # it closes
                return
            for place in places:
                self._owned[number].discard(place.partition)
                self._without[place.partition] = time.perf_counter()

        return note


def measured(bootstrap: str, protocol: GroupProtocol, members: int) -> Found:
    """Form a group of so many, let one join and one leave."""
    partitions = members * PARTITIONS_A_MEMBER
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topic = f"scale-{protocol}-{members}-{time.time_ns()}"
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(60.0)
    group = Group(bootstrap, topic, partitions, protocol)
    formed, joined, left = group.join(members), group.join(1), group.leave()
    began = time.perf_counter()
    admin.describe_consumer_groups([topic], request_timeout=30.0)[topic].result(30.0)
    described = time.perf_counter() - began
    group.close()
    admin.delete_topics([topic])[topic].result(60.0)
    return Found(protocol, members, partitions, formed, joined, left, described)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each protocol with each number of members, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, nargs="+", default=[10, 50, 100, 200])
    parser.add_argument("--rounds", type=int, default=3, help="of each; the table has them all (default: 3)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    found: list[Found] = []
    with Sandbox(redis=False) as sandbox:
        measured(sandbox.bootstrap, "classic", 4)  # warms the broker
        for _ in range(options.rounds):
            for members in options.members:
                for protocol in PROTOCOLS:
                    found.append(measured(sandbox.bootstrap, protocol, members))
                    print(line(found[-1]), flush=True)
                    if options.json:
                        save(found, options.json)


def save(found: list[Found], file: Path) -> None:
    """Write what was found so far."""
    figures: dict[str, Any] = {
        "machine": describe(),
        "load": os.getloadavg(),
        "groups": msgspec.to_builtins(found),
    }
    file.write_text(json.dumps(figures, indent=1) + "\n")


def line(found: Found) -> str:
    """One row of the table."""
    changes = " ".join(
        f"{name} {change.seconds:6.2f} s (gap {change.gap:5.2f} s, {change.moved:4} moved)"
        for name, change in (("formed", found.formed), ("joined", found.joined), ("left", found.left))
    )
    return f"{found.protocol:9}{found.members:4} members{found.partitions:5} partitions: {changes}"


if __name__ == "__main__":
    main()
