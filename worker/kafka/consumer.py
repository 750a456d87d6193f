"""The consumer on Apache Kafka, with cooperative rebalancing, read-committed, and without automatic commits.

The group rebalances by one of two protocols: in both, partitions are added and taken away one by one. In the
classic protocol, the members elect one of them that assigns the partitions. In the protocol of KIP-848, the
broker assigns them, and nothing is read of a partition before it has confirmed whose it is (confirmation.py).

    poll        here, with what rebalances and errors mean
    placing     where the assigned partitions are read from (placing.py, confirmed_placing.py)
    membership  under which they are committed (membership.py)
    looks       at the group, for what nobody reads (group_watch.py)
"""

from collections.abc import Callable, Sequence
from typing import Any

import confluent_kafka as ck
import structlog

from schemas.rights import Right
from worker.errors import BrokerError
from worker.kafka import Look, Membership, RebalanceListener
from worker.kafka.client import log_error, make
from worker.kafka.confirmation import Confirmation
from worker.kafka.confirmed_placing import ConfirmedPlacing
from worker.kafka.consumer_config import consumer_config
from worker.kafka.ends import Ends
from worker.kafka.fetched import consume, to_record
from worker.kafka.fetching import Fetching
from worker.kafka.group_watch import LOOK_EVERY_S, GroupWatch
from worker.kafka.librdkafka_waits import end_join_wait
from worker.kafka.membership import NotedMembership
from worker.kafka.placing import Placing
from worker.kafka.record import Partition, Record
from worker.kafka.rights import refused
from worker.kafka.starts import Starts
from worker.settings import GroupProtocol

log = structlog.get_logger()

Callback = Callable[[ck.Consumer, list[ck.TopicPartition]], None]

UNPLACED_POLL_S = 0.01  # the broker's answer is awaited between two polls
_REFUSED = {
    ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    ck.KafkaError.INVALID_SESSION_TIMEOUT,
    ck.KafkaError._AUTHENTICATION,
    ck.KafkaError._FATAL,  # e.g. fenced by a member with the same group.instance.id; `fatal()` is False then
}
_GONE = {ck.KafkaError.UNKNOWN_TOPIC_OR_PART, ck.KafkaError._UNKNOWN_TOPIC, ck.KafkaError._UNKNOWN_PARTITION}


class KafkaConsumer:
    """A `worker.kafka.Consumer` on Apache Kafka. One thread uses it; others may ask for `membership`."""

    def __init__(
        self,
        config: dict[str, Any],
        group: str,
        topic: str,
        listener: RebalanceListener,
        protocol: GroupProtocol = "classic",
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """`look_every_s` is about the time between two looks at the group: see `GroupWatch`."""
        self._topic = topic
        self._config = config
        self._group = group
        self._protocol = protocol
        self._listener = listener
        self._rebalanced = False
        self._failed: Exception | None = None
        self._consumer = make(
            ck.Consumer,
            {**consumer_config(config, group, protocol), "error_cb": log_error},
        )
        self._starts = Starts(self._consumer, config, topic)
        self._ends = Ends(self._consumer)
        self._fetching = Fetching(self._consumer)
        parts = self._fetching, self._ends, topic, listener, self._starts
        if protocol == "consumer":
            confirmation = Confirmation(self._consumer, config, group, topic)
            self._noted = NotedMembership(self._consumer, self._starts, confirmation.held)
            self._placing: Placing = ConfirmedPlacing(*parts, self._noted, confirmation)
        else:
            self._noted = NotedMembership(self._consumer, self._starts, None)
            self._placing = Placing(*parts, self._noted)
        self._watch = GroupWatch(config, group, topic, look_every_s)
        self._idle = False  # since the last look at the group, there was nothing to read for a moment
        self._join()

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """See `worker.kafka.Consumer.poll`."""
        self._rebalanced = False
        self._starts.check()
        if self._placing.awaits_answer:
            timeout_s = min(timeout_s, UNPLACED_POLL_S)
        messages = consume(self._consumer, limit, timeout_s)
        records = [to_record(m) for m in messages if m.error() is None or not self._is_error(m)]
        self._raise_later()
        if self._rebalanced:
            if self._protocol == "classic":
                end_join_wait(self._consumer, self._topic)
            self._fetching.at_once(self._placing.assigned)
        self._idle |= not records and not self._fetching.paused and timeout_s > 0
        self._noted.note()
        records = self._placing.sift(records, rebalanced=self._rebalanced)
        self._placing.place()
        self._look()
        return records

    def pause(self) -> None:
        """See `worker.kafka.Consumer.pause`."""
        if not self._fetching.paused:
            self._placing.pause()

    def resume(self) -> None:
        """See `worker.kafka.Consumer.resume`."""
        if self._fetching.paused:
            self._placing.resume()

    def rewind(self) -> None:
        """See `worker.kafka.Consumer.rewind`."""
        self._placing.rewind()

    def membership(self) -> Membership:
        """See `worker.kafka.Consumer.membership`."""
        return self._noted.last

    def lag(self) -> int:
        """See `worker.kafka.Consumer.lag`. It uses what the last fetches returned, and makes no request.

        A partition of which nothing was read yet counts from where it will be: behind others, that may take
        minutes. Where the group has never committed there, or nothing was fetched, it counts as 0.
        """
        return self._placing.lag()

    def silence_s(self) -> float:
        """See `worker.kafka.Consumer.silence_s`."""
        return self._starts.silence_s

    def close(self) -> None:
        """See `worker.kafka.Consumer.close`."""
        self._consumer.close()
        if self._failed is not None:  # in a last rebalance, which no longer matters
            log.warning("left_with_an_error", error=type(self._failed).__name__)

    def _later(self, callback: Callback) -> Callback:
        """The callback, whose error is raised when the client has returned.

        An error that is raised through the client can leave it in a state where closing it never ends.
        """

        def call(consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            try:
                callback(consumer, partitions)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass through the client
                self._failed = self._failed or error

        return call

    def _raise_later(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _join(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._later(self._on_assign),
            on_revoke=self._later(self._on_revoke),
            on_lost=self._later(self._on_lost),
        )

    def _look(self) -> None:
        """Look at the group if it is time: join it anew, or fetch partitions anew, where that is needed."""
        own = self._placing.fetched
        if not self._watch.glance(own):
            return
        stopped = own.intersection(self._watch.stopped(self._ends.heard_of, idle=self._idle))
        self._idle = False
        self._placing.fetch_anew(stopped)
        anew = self._watch.turn(self._consumer.memberid() or "", self._starts.partitions)
        self._listener.looked(Look(self._watch.without_reader, anew, len(stopped)))
        if anew:
            # A member with a group.instance.id must leave as well: it would get back what it had.
            log.warning("joins_its_group_anew", partitions=len(self._placing.assigned))
            self._consumer.unsubscribe()
            self._join()

    def _is_error(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() == ck.KafkaError._AUTO_OFFSET_RESET:
            self._placing.note_missing(message, error.str())
            return True
        if error.code() in _GONE:
            raise BrokerError(f"topic {self._topic} is not there: run `mimamori topics apply`")
        if error.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise refused(self._config, Right("topic", self._topic, "Read"))
        if error.code() == ck.KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise refused(self._config, Right("group", self._group, "Read"))
        if error.fatal() or error.code() in _REFUSED:
            raise BrokerError(f"cannot read {self._topic}: {error.str()}")
        log.warning("poll_error", code=error.name())
        return True

    def _on_assign(self, _: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        names = _names(partitions)
        self._placing.take(names)
        self._listener.assigned(sorted(names))

    def _on_revoke(self, _: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._noted.note()  # of the new generation already, though the partitions are still assigned
        names = _names(partitions)
        self._listener.revoked(sorted(names))
        self._placing.give_up(names)

    def _on_lost(self, _: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        names = _names(partitions)
        self._listener.lost(sorted(names))
        self._placing.give_up(names)


def _names(partitions: Sequence[ck.TopicPartition]) -> set[Partition]:
    return {(p.topic, p.partition) for p in partitions}
