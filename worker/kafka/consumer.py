"""The consumer on Apache Kafka, with cooperative rebalancing, read-committed, and without automatic commits.

The group rebalances by one of two protocols: in both, partitions are added and taken away one by one. In the
classic protocol, the members elect one of them that assigns the partitions. In the protocol of KIP-848, the
broker assigns them, and nothing is read of a partition before it has confirmed whose it is (confirmation.py).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import confluent_kafka as ck
import structlog

from schemas.rights import Right
from worker.errors import BrokerError, RetryableError
from worker.kafka import Look, Membership, RebalanceListener
from worker.kafka.client import log_error, make
from worker.kafka.confirmation import Confirmation
from worker.kafka.consumer_config import consumer_config
from worker.kafka.ends import OFFSETS_TIMEOUT_S, Ends
from worker.kafka.fetched import consume, to_record
from worker.kafka.fresh import Fresh
from worker.kafka.group_watch import LOOK_EVERY_S, GroupWatch
from worker.kafka.librdkafka_waits import end_fetch_wait, end_join_wait
from worker.kafka.membership import Held, KafkaMembership, membership_of
from worker.kafka.places import Places
from worker.kafka.record import Partition, Record
from worker.kafka.rights import refused
from worker.kafka.starts import Starts
from worker.settings import GroupProtocol

log = structlog.get_logger()

Callback = Callable[[ck.Consumer, list[ck.TopicPartition]], None]

PLACE_TIMEOUT_S = 2.0  # partitions that stay are not polled meanwhile
PLACE_PAUSE_S = 0.5
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
        self._assigned: set[Partition] = set()
        self._unplaced: set[Partition] = set()  # assigned, but not read before their start is found
        self._stopped: set[Partition] = set()  # of those, what the client has stopped to fetch
        self._begins: dict[Partition, int] = {}  # where reading began, or goes on after a rewind
        self._missing: dict[Partition, ck.TopicPartition] = {}  # positions where Kafka has no record
        self._place_at = 0.0
        self._rebalanced = False
        self._failed: Exception | None = None
        self._paused = False
        self._consumer = make(
            ck.Consumer,
            {**consumer_config(config, group, protocol), "error_cb": log_error},
        )
        self._ends = Ends(self._consumer)
        self._places = Places(self._ends.heard, self._ends.now, self._ends.start_of)
        self._membership: Membership = None
        self._starts = Starts(self._consumer, config, topic)
        self._watch = GroupWatch(config, group, topic, look_every_s)
        self._held: Held | None = None
        if protocol == "consumer":
            self._held, self._confirmation = Held(), Confirmation(self._consumer, config, group, topic)
        self._fresh = Fresh()
        self._idle = False  # since the last look at the group, there was nothing to read for a moment
        self._join()

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """See `worker.kafka.Consumer.poll`."""
        self._rebalanced = False
        self._starts.check()
        if self._held is not None and self._unplaced:
            timeout_s = min(timeout_s, UNPLACED_POLL_S)
        messages = consume(self._consumer, limit, timeout_s)
        records = [to_record(m) for m in messages if m.error() is None or not self._is_error(m)]
        self._raise_later()
        if self._rebalanced:
            if self._protocol == "classic":
                end_join_wait(self._consumer, self._topic)
            end_fetch_wait(self._consumer, self._assigned)
        self._idle |= not records and not self._paused and timeout_s > 0
        self._note_membership()
        if self._rebalanced or self._unplaced:  # some may have been fetched before this call's rebalance
            readable = self._assigned - self._unplaced
            records = [r for r in records if (r.topic, r.partition) in readable]
        if early := self._fresh.early(records):
            log.warning("read_from_elsewhere", topic=self._topic, partitions=len(early))
            self._unplace(early)
            records = [r for r in records if r.place not in early]
        records, again = self._places.check(records)
        for (topic, number), offset in again.items():
            log.warning("record_unreadable", topic=topic, partition=number, offset=offset - 1)
            # A seek does not do: after a pause, the client would continue beyond the offset that it was told.
            place = ck.TopicPartition(topic, number, offset)
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
        self._place()
        self._look()
        return records

    def pause(self) -> None:
        """See `worker.kafka.Consumer.pause`."""
        if not self._paused:
            self._paused = True
            self._consumer.pause(_positions(self._assigned))

    def resume(self) -> None:
        """See `worker.kafka.Consumer.resume`."""
        if self._paused:
            self._paused = False
            self._consumer.resume(_positions(self._assigned - self._unplaced))
            end_fetch_wait(self._consumer, self._assigned)

    def rewind(self) -> None:
        """See `worker.kafka.Consumer.rewind`."""
        if self._held is not None:
            self._unplace(self._assigned)
        elif self._assigned:
            self._places.forget(self._assigned)
            for position in self._find(self._assigned, OFFSETS_TIMEOUT_S):
                self._go_to(position)

    def membership(self) -> Membership:
        """See `worker.kafka.Consumer.membership`.

        It is the membership that the polling thread noted last. The client serves one thread at a time, so
        that another one that asks the client while `poll` waits may have to wait for minutes.
        """
        return self._membership

    def lag(self) -> int:
        """See `worker.kafka.Consumer.lag`. It uses what the last fetches returned, and makes no request.

        A partition of which nothing was read yet counts from where it will be: behind others, that may take
        minutes. Where the group has never committed there, or nothing was fetched, it counts as 0.
        """
        total = 0
        for partition in self._consumer.position(_positions(self._assigned)):
            _, high = self._consumer.get_watermark_offsets(partition, cached=True)
            begin = self._begins.get((partition.topic, partition.partition), partition.offset)
            offset = partition.offset if partition.offset >= 0 else begin
            if offset >= 0:
                total += max(0, high - offset)
        return total

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

    def _note_membership(self) -> None:
        group = membership_of(self._consumer)
        if group is not None:
            under = None if self._held is None else self._held.now()
            self._membership = KafkaMembership(group, self._starts.note, under, self._held)

    def _join(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._later(self._on_assign),
            on_revoke=self._later(self._on_revoke),
            on_lost=self._later(self._on_lost),
        )

    def _look(self) -> None:
        """Look at the group if it is time: join it anew, or fetch partitions anew, where that is needed."""
        own = self._assigned - self._unplaced - self._missing.keys()
        if not self._watch.glance(own):
            return
        stopped = own.intersection(self._watch.stopped(self._ends.heard_of, idle=self._idle))
        self._idle = False
        for position in self._consumer.position(_positions(stopped)):
            log.error("partition_not_fetched", topic=self._topic, partition=position.partition)
            name = (position.topic, position.partition)
            # The client may not know where it is, while records that it has given are still being screened.
            if (due := self._places.next_of(name)) is not None:
                self._start_over(ck.TopicPartition(*name, due))
            elif position.offset < 0:
                self._unplaced.add(name)
                self._stopped.add(name)
            else:
                self._start_over(position)
        anew = self._watch.turn(self._consumer.memberid() or "", self._starts.partitions)
        self._listener.looked(Look(self._watch.without_reader, anew, len(stopped)))
        if anew:
            # A member with a group.instance.id must leave as well: it would get back what it had.
            log.warning("joins_its_group_anew", partitions=len(self._assigned))
            self._consumer.unsubscribe()
            self._join()

    def _place(self) -> None:
        """Find where to read new partitions, and those where Kafka has no record. Retry later on failure."""
        if not (self._unplaced or self._missing) or time.monotonic() < self._place_at:
            return
        try:
            if self._unplaced:
                self._place_new()
            for partition, missing in list(self._missing.items()):
                due = self._places.next_of(partition)
                # A producer made this offset up, and the client believed it.
                if due is not None and due != missing.offset:
                    self._start_over(ck.TopicPartition(*partition, due))
                    continue
                offset, restart = self._starts.instead_of(missing, PLACE_TIMEOUT_S)
                if restart is not None:  # report it first, as it is not found a second time
                    self._listener.restarted([restart])
                self._start_over(ck.TopicPartition(*partition, offset))
        except RetryableError as error:
            self._place_later(error)

    def _place_new(self) -> None:
        if self._held is None:
            for position in self._find(self._unplaced, PLACE_TIMEOUT_S):
                self._begin(position)
            end_fetch_wait(self._consumer, self._assigned)
            return
        if (confirmed := self._confirmation.of(self._unplaced)) is None:
            return
        if confirmed.denied:
            log.warning("partitions_not_ours", topic=self._topic, partitions=confirmed.denied)
            self._place_at = time.monotonic() + PLACE_PAUSE_S
        if confirmed.partitions:
            for position in self._find(confirmed.partitions, PLACE_TIMEOUT_S):
                self._begin(position)
                self._held.take([(position.topic, position.partition)], confirmed.group)
            self._note_membership()
            end_fetch_wait(self._consumer, confirmed.partitions)

    def _begin(self, position: ck.TopicPartition) -> None:
        """Read a new partition from `position`. Raises RetryableError.

        It is not taken from the client and given back, since that would tell the client that a revocation
        is over which waits to be served, and the broker would give the partition to somebody else.
        """
        name = position.topic, position.partition
        try:
            self._consumer.seek(position)
        except ck.KafkaException as error:
            if name in self._stopped and error.args[0].code() == ck.KafkaError._STATE:
                self._start_over(position)
                return
            raise RetryableError(f"cannot seek: {error.args[0].name()}") from None
        self._places.expect(name, position.offset)
        self._fresh.begin(name, position.offset)
        self._stopped.discard(name)
        if not self._paused:
            self._consumer.resume([position])
        self._unplaced.discard(name)

    def _unplace(self, partitions: set[Partition]) -> None:
        """Read nothing of these before their place is found, and for `consumer` confirmed."""
        if not partitions:
            return
        self._places.forget(partitions)
        if self._held is not None:
            self._confirmation.forget(partitions)
            self._held.drop(partitions)
            self._note_membership()
        self._consumer.pause(_positions(partitions))
        self._unplaced |= partitions
        self._stopped |= self._missing.keys() & partitions
        self._fresh.forget(partitions)
        for partition in partitions:
            self._missing.pop(partition, None)
        self._place_at = 0.0

    def _place_later(self, error: RetryableError) -> None:
        log.warning("place_not_found", error=str(error))
        self._place_at = time.monotonic() + PLACE_PAUSE_S

    def _find(self, partitions: set[Partition], timeout_s: float) -> list[ck.TopicPartition]:
        """Where to start reading `partitions`. Raises RetryableError."""
        committed = self._starts.left(_positions(partitions), timeout_s)
        self._note_membership()  # now with the topic's id
        begin, restarts = self._starts.begin(committed)
        self._begins |= {(place.topic, place.partition): place.offset for place in begin}
        if restarts:
            self._listener.restarted(restarts)
        return begin

    def _go_to(self, position: ck.TopicPartition) -> None:
        """Continue to read a partition at `position`."""
        if (position.topic, position.partition) in self._unplaced:
            self._start_over(position)
            return
        try:
            self._consumer.seek(position)
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError._STATE:
                raise RetryableError(f"cannot seek: {error.args[0].name()}") from None
            self._start_over(position)

    def _start_over(self, position: ck.TopicPartition) -> None:
        """Read a partition from `position`, where the client fetches from elsewhere or has stopped fetching.

        The client would refuse a seek if it has stopped fetching, and forget it if it has not begun yet.
        """
        name = position.topic, position.partition
        # A made-up offset is replaced by the expected one. Without one, the committed offset would be used,
        # which may be older.
        self._places.expect(name, position.offset)
        self._consumer.incremental_unassign([position])
        self._consumer.incremental_assign([position])
        (self._consumer.pause if self._paused else self._consumer.resume)([position])
        self._missing.pop(name, None)
        self._unplaced.discard(name)
        self._stopped.discard(name)
        self._fresh.forget([name])

    def _is_error(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() == ck.KafkaError._AUTO_OFFSET_RESET:
            self._note_missing(message, error)
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

    def _note_missing(self, message: ck.Message, error: ck.KafkaError) -> None:
        """Note that the client has stopped fetching a partition, for lack of an offset to read from."""
        name = cast("Partition", (message.topic(), message.partition()))
        place = ck.TopicPartition(*name)
        if name not in self._assigned:
            return
        if (offset := message.offset()) is not None:
            place.offset = offset
            self._missing[name] = place
        elif self._consumer.position([place])[0].offset < 0:  # its start could not be found either
            self._unplaced.add(name)
            self._stopped.add(name)
            self._place_at = time.monotonic() + PLACE_PAUSE_S
        else:
            raise BrokerError(
                f"{self._topic}, partition {place.partition}: Kafka has lost records ({error.str()}); start "
                "this worker again, and it goes on from what is committed"
            )

    def _on_assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        names = _names(partitions)
        self._assigned |= names
        self._places.forget(names)
        self._note_membership()
        if self._held is not None:
            # At once, without a question to Kafka: until it is called, heartbeats may deny what was given.
            consumer.incremental_assign(_positions(names, ck.OFFSET_BEGINNING))
            self._unplace(names)
            self._listener.assigned(sorted(names))
            return
        try:
            consumer.incremental_assign(self._find(names, PLACE_TIMEOUT_S))
            # librdkafka keeps a partition paused through unassign and assign: one that left a worker during
            # a pause, and comes back, would otherwise stay paused for ever.
            (consumer.pause if self._paused else consumer.resume)(partitions)
        except RetryableError as error:
            self._place_later(error)
            self._unplaced |= names
            consumer.incremental_assign(_positions(names, ck.OFFSET_BEGINNING))
            consumer.pause(partitions)
        self._listener.assigned(sorted(names))

    def _on_revoke(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._note_membership()  # of the new generation already, though the partitions are still assigned
        self._listener.revoked(sorted(_names(partitions)))
        self._forget(consumer, partitions)

    def _on_lost(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._listener.lost(sorted(_names(partitions)))
        self._forget(consumer, partitions)

    def _forget(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        gone = _names(partitions)
        for name in gone:
            self._assigned.discard(name)
            self._unplaced.discard(name)
            self._stopped.discard(name)
            self._missing.pop(name, None)
        self._fresh.leave(gone)
        if self._held is not None:
            self._held.drop(gone)
            self._confirmation.forget(gone)
        consumer.incremental_unassign(partitions)


def _positions(partitions: Iterable[Partition], offset: int = ck.OFFSET_INVALID) -> list[ck.TopicPartition]:
    return [ck.TopicPartition(*partition, offset) for partition in sorted(partitions)]


def _names(partitions: Sequence[ck.TopicPartition]) -> set[Partition]:
    return {(p.topic, p.partition) for p in partitions}
