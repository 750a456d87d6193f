"""Looks at the group now and then: has every partition a reader, and does the client fetch all of its own?

Each worker asks, without waiting for the answer: the group's coordinator for the members and what they read,
and the brokers for the ends of this worker's own partitions. A right to read includes what this needs. Where
Kafka does not answer, or forbids it, the log says so once, and screening goes on as before.

The time between two looks is longer than a member may take to give partitions up, and than a broker takes to
give out those of a new topic (a group of the newer protocol calls itself stable for a moment before). So what
is on its way is not taken for a partition without a reader. The time grows with the group: all members
together ask about three times a second at most.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import confluent_kafka as ck
import structlog
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    ConsumerGroupDescription,
    OffsetSpec,
)

from worker.kafka.client import make_admin
from worker.kafka.fetch_watch import FetchWatch
from worker.kafka.readers import GroupView, Readers
from worker.kafka.record import Partition

log = structlog.get_logger()

ASK_TIMEOUT_S: Final = 10.0
LOOK_EVERY_S: Final = 30.0
PER_MEMBER_S: Final = 0.3
JITTER: Final = (1.0, 1.4)

Told = Callable[[Iterable[Partition]], Mapping[Partition, int]]


class GroupWatch:
    """Looks at one topic's readers, as the member of a group. Used by the polling thread."""

    def __init__(
        self, config: Mapping[str, Any], group: str, topic: str, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._config = {"client.id": "mimamori-group-watch", **config}
        self._group = group
        self._topic = topic
        self._every_s = look_every_s
        self._admin = make_admin(self._config)
        self._ask_at = time.monotonic() + look_every_s * random.random()  # noqa: S311 - jitter, not a secret
        self._asked: Future[Any] | None = None
        self._ends: dict[Partition, Future[Any]] = {}
        self._readers = Readers()
        self._fetches = FetchWatch()
        self._silent = False  # the log has said that there is no answer
        self._told: list[int] = []  # of which partitions the log has said that they have no reader

    @property
    def without_reader(self) -> int:
        """How many partitions have no reader, as of the last look."""
        return len(self._told)

    def glance(self, own: Iterable[Partition]) -> bool:
        """Ask if it is time, about `own` partitions and about the group; return whether the answers are here.

        Then call `turn` and `stopped`. It never waits.
        """
        if self._asked is None:
            if time.monotonic() >= self._ask_at:
                self._ask(own)
            return False
        return self._asked.done() and all(end.done() for end in self._ends.values())

    def turn(self, me: str, partitions: int) -> bool:
        """Whether the member `me` is to leave the group and join it anew, as a partition has no reader.

        `partitions` is the number of the topic's.
        """
        asked, self._asked = self._asked, None
        view = None if asked is None else self._view(asked)
        members = 0 if view is None else len(view.members)
        pause = max(self._every_s, PER_MEMBER_S * members)
        self._ask_at = time.monotonic() + pause * random.uniform(*JITTER)  # noqa: S311 - jitter, not a secret
        if view is None:
            return False
        turn = self._readers.look(view, partitions, me)
        self._tell(view)
        return turn

    def stopped(self, known: Told, *, idle: bool) -> list[Partition]:
        """The own partitions that the client does not fetch any more: see `FetchWatch.look`."""
        asked, self._ends = self._ends, {}
        ends = {place: end for place, answer in asked.items() if (end := _end(answer)) is not None}
        return self._fetches.look(ends, known(ends), idle=idle)

    def _ask(self, own: Iterable[Partition]) -> None:
        self._admin.poll(0)
        self._asked = self._admin.describe_consumer_groups([self._group], request_timeout=ASK_TIMEOUT_S)[
            self._group
        ]
        wanted = {ck.TopicPartition(*place): OffsetSpec.latest() for place in own}  # type: ignore[no-untyped-call] # a typed package in all else
        if wanted:
            answers = self._admin.list_offsets(
                wanted, isolation_level=ck.IsolationLevel.READ_COMMITTED, request_timeout=ASK_TIMEOUT_S
            )
            self._ends = {(place.topic, place.partition): answer for place, answer in answers.items()}

    def _view(self, asked: "Future[Any]") -> GroupView | None:
        try:
            found = asked.result()
        except ck.KafkaException as error:
            self._say_once(error.args[0].name())
            self._admin = make_admin(self._config)  # the old one may go on asking a broker that is down
            return None
        self._silent = False
        return view_of(found, self._topic)

    def _say_once(self, code: str) -> None:
        if not self._silent:
            self._silent = True
            log.warning(
                "group_not_seen",
                group=self._group,
                code=code,
                remedy="screening goes on; but a partition that no worker reads would not be noticed until "
                "Kafka answers: the right to read the group includes the right to describe it",
            )

    def _tell(self, view: GroupView) -> None:
        """Tell the log of partitions without a reader, once, and when they have one again."""
        missing = self._readers.missing
        if missing and missing != self._told:
            log.error(
                "partitions_without_reader",
                topic=self._topic,
                partitions=missing,
                members=len(view.members),
                remedy="none: one worker after the other joins its group anew until each has a reader",
            )
        elif self._told and not missing:
            log.info("partitions_have_readers", topic=self._topic)
        self._told = missing


def view_of(found: ConsumerGroupDescription, topic: str) -> GroupView:
    """What Kafka says of a group, as far as it is about one topic."""
    return GroupView(
        found.state is ck.ConsumerGroupState.STABLE,
        {
            member.member_id: {
                place.partition for place in member.assignment.topic_partitions if place.topic == topic
            }
            for member in found.members
        },
    )


def _end(asked: "Future[Any]") -> int | None:
    try:
        return int(asked.result().offset)
    except ck.KafkaException:  # its leader does not answer, and so it is not fetched either
        return None
