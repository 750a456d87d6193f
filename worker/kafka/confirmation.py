"""Asks the broker whether partitions are this worker's, before any of them is read. For `consumer` (KIP-848).

librdkafka 2.16 may tell the group's coordinator that this member has less than it has been given: a full
heartbeat, which follows any error, names what the member had before the assignment that it is just taking.
Where the target of the assignment has changed meanwhile, Kafka gives what is not named to another member at
once, while the client goes on with it for seconds. A commit under the member's current epoch is taken, whose
ever the partition is. So the client's word is not enough: see
docs/decisions/0024-a-partition-is-confirmed.md.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import confluent_kafka as ck

from worker.errors import RetryableError
from worker.kafka.client import make_admin
from worker.kafka.group_watch import view_of
from worker.kafka.membership import Held, membership_of
from worker.kafka.record import Partition

ASK_TIMEOUT_S: Final = 3.0


class Confirmed(NamedTuple):
    """The broker says that `partitions` are this member's, and was asked under the membership `group`.

    It says that those of the topic's partitions that are `denied` are not, or not yet.
    """

    partitions: set[Partition]
    denied: list[int]
    group: Any


class _Asked(NamedTuple):
    partitions: frozenset[Partition]
    member: str
    group: Any
    answer: "Future[Any]"


class Confirmation:
    """One question at a time. Used by the polling thread."""

    def __init__(self, consumer: ck.Consumer, config: Mapping[str, Any], group: str, topic: str) -> None:
        self._consumer = consumer
        self._config = {"client.id": "mimamori-confirmation", **config}
        self._group = group
        self._topic = topic
        self._admin = make_admin(self._config)
        self._asked: _Asked | None = None
        self.held = Held()

    def forget(self, partitions: AbstractSet[Partition]) -> None:
        """They were taken away, or are read anew: what was confirmed no longer holds.

        Nor does an answer that is on its way.
        """
        self.held.drop(partitions)
        if self._asked is not None:
            self._asked = self._asked._replace(partitions=self._asked.partitions - partitions)

    def of(self, partitions: AbstractSet[Partition]) -> Confirmed | None:
        """Which of these are this member's; None as long as it is not known. Never waits.

        The membership is read before the broker is asked, so that it is not younger than the answer.
        Raises RetryableError: the broker did not answer.
        """
        if self._asked is None:
            group = membership_of(self._consumer)
            if group is not None:
                member = self._consumer.memberid() or ""
                self._asked = _Asked(frozenset(partitions), member, group, self._ask())
            return None
        if not self._asked.answer.done():
            return None
        asked, self._asked = self._asked, None
        try:
            numbers = view_of(asked.answer.result(), self._topic).members.get(asked.member, set())
        except ck.KafkaException as error:
            self._admin = make_admin(self._config)  # the old one may go on asking a broker that is down
            raise RetryableError(
                f"the group's coordinator does not say whose the partitions are: {error.args[0].name()}"
            ) from None
        own = {place for place in asked.partitions if place[0] == self._topic and place[1] in numbers}
        denied = sorted(number for _, number in asked.partitions - own)
        return Confirmed(own, denied, asked.group)

    def _ask(self) -> "Future[Any]":
        self._admin.poll(0)
        asked = self._admin.describe_consumer_groups([self._group], request_timeout=ASK_TIMEOUT_S)
        return asked[self._group]
